"""The dialect of FirecREST v1 (1.16): its names, codes and texts, as its clients expect them."""

from goldcrest_api.dialects.firecrest_v1.call import BASE_PATH
from goldcrest_api.dialects.firecrest_v1.routes import router

__all__ = ["BASE_PATH", "router"]
