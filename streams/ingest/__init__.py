"""The way in over HTTP: native events, feedback and OTLP, answered once Kafka has them."""
