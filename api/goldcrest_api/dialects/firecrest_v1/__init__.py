"""The dialect of FirecREST v1 (1.16): its names, codes and texts, as its clients expect them."""

from typing import Final

from goldcrest_api.dialect import Dialect
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, answer_refusal, answer_to_fault
from goldcrest_api.dialects.firecrest_v1.call import BASE_PATH
from goldcrest_api.dialects.firecrest_v1.routes import router
from goldcrest_api.dialects.firecrest_v1.texts import DIALECT as NAME

DIALECT: Final = Dialect(
    name=NAME,
    prefix=BASE_PATH,
    about="Programmatic access to HPC systems, in the dialect of FirecREST v1.",
    routes=router,
    fault=answer_to_fault,
    errors={Refusal: answer_refusal},
)

__all__ = ["DIALECT"]
