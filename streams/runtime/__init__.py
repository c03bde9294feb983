"""What every service runs on: Kafka clients, codecs, snapshots, health pages, metrics."""
