package system.log_test

import data.system.log

masked(args) := {entry.path | some entry in entries} if {
	entries := log.mask with input as {"input": {"questions": [{"args": args}]}}
}

test_what_looks_like_a_secret if {
	masked({"a": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.x"}) == {"/input/questions/0/args/a"}
	masked({"a": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}) == {"/input/questions/0/args/a/0"}
	masked({"a/b~c": "https://s3.example/x?X-Amz-Signature=0"}) == {"/input/questions/0/args/a~1b~0c"}
	masked({"a": "https://me:pass@s3.example/x"}) == {"/input/questions/0/args/a"}
	masked({"script": {"inline": "hostname"}}) == {"/input/questions/0/args/script/inline"}
}

test_a_question_that_comes_alone if {
	entries := log.mask with input as {"input": {"args": {"a": "-----BEGIN OPENSSH PRIVATE KEY-----"}}}
	{entry.path | some entry in entries} == {"/input/args/a"}
}

test_what_does_not if masked({"path": "/scratch/alice", "issuer": "https://sso.example.org/realms/hpc", "mode": 420}) == set()
