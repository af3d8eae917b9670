"""The HTTP API: thin routes over services, one error shape, who may what."""
