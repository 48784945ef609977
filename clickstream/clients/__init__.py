"""The clients of the services, each in one place, and where each service is reached."""
