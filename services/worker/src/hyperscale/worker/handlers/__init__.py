"""gRPC servicers of the worker: they translate and delegate."""
