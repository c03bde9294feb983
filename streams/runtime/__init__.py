"""Runtime shared by all services: Kafka clients, codecs, snapshots, health endpoints, metrics."""
