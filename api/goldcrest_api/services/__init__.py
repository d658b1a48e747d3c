"""What the gateway does, without any dialect: each module is one piece of work. They raise goldcrest.errors only."""
