"""The process that runs user code: resources, context, log capture. Started as `python -m orchestrator.worker`."""
