"""The resources of Goldcrest. The pydantic models here are the only definition; crds/ is generated from them."""
