# Temporary alias for people working in parallel: the module is cellflow.flow (the function cf.fit would clash with a module of its name).
from cellflow.flow import Flow, fit  # noqa: F401
