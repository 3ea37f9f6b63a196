"""Traces by OpenTelemetry: whole jobs, over restarts and replicas. The SDK is loaded only where they are sent."""
