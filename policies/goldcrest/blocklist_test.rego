package goldcrest.blocklist_test

import data.goldcrest.blocklist

test_the_names_are_told if {
	blocklist.decision == {"names": ["mallory", "system:serviceaccount:ci:bot"]} with data.goldcrest.blocked as [
		"mallory",
		42,
		"system:serviceaccount:ci:bot",
	]
}

test_without_data_nobody_is_blocked if blocklist.decision == {"names": []}
