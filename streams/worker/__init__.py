"""The worker: Faust carries chunks, an engine per partition judges them."""
