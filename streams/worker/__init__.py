"""The worker: Faust delivers batches of records; one partition runner per partition scores them."""
