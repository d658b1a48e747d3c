"""REST dialects: one folder each, which knows shapes and texts and nothing else. No dialect calls another."""
