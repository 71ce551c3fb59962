package observe

// holdRemedy is what docs/metrics.md says about a hold reason: what it means and what an operator
// can do about it.
type holdRemedy struct{ meaning, remedy string }

var holdRemedies = map[HoldReason]holdRemedy{
	HoldUnauthorized: {
		meaning: "the vendor refuses the credentials, even after they were refreshed",
		remedy: "replace the credentials in the configuration and restart. Probes continue, but rarely, because " +
			"vendors lock accounts",
	},
	HoldMisconfigured: {
		meaning: "wrong URL, a redirect, a TLS or DNS failure, or a vendor code for a wrong configuration",
		remedy:  "correct `base_url` or the network; the operation resumes by itself once a probe succeeds",
	},
	HoldUnavailable: {
		meaning: "the vendor or its token endpoint does not respond, or fails",
		remedy:  "nothing; the operation resumes by itself",
	},
	HoldThrottled: {
		meaning: "the vendor asked for fewer calls",
		remedy:  "nothing; lower `concurrency` or `requests_per_second` if it persists",
	},
	HoldFlood: {
		meaning: "more than `dead_letter.guard.max_ratio` of the pipeline's last records were refused, or over a " +
			"quarter of a batch: something other than the records must be wrong",
		remedy: "see [Flood](operations.md#flood)",
	},
	HoldRegistry: {
		meaning: "the schema registry does not respond, something else responds 404 in its place, or it knows none " +
			"of the requested schema IDs",
		remedy: "check the registry and `schema_registry.urls`",
	},
	HoldUnknownSchemaID: {
		meaning: "the schema registry does not know the schema ID of a record; with `ordering: key`, the records " +
			"behind it wait too",
		remedy: "register the schema; after `unknown_id_wait` the record becomes a dead letter",
	},
	HoldKafka: {
		meaning: "no broker has responded since the start, and nothing is read yet",
		remedy:  "check the brokers and `kafka.brokers`, `kafka.tls` and `kafka.sasl`; the log has the error",
	},
	HoldOffsetLost: {
		meaning: "a committed offset is no longer in the log and `on_offset_lost` is `stop`",
		remedy:  "set it to `earliest` or `latest` and restart, or set the group's offset with Kafka's tools",
	},
	HoldUnreadable: {
		meaning: "a partition cannot be fetched: permission is missing, its topic was deleted or recreated, or a " +
			"batch decompresses to over 64 MiB. The log has the partition and the error. Other partitions continue",
		remedy: "grant the permission, and it resumes by itself; restart after a topic was recreated; set the " +
			"group's offset past such a batch with Kafka's tools",
	},
	HoldRecovery: {
		meaning: "a partition is assigned and not fetched yet: a retry partition of the same number is missing or " +
			"cannot be read to its end. The log names it. Other partitions continue",
		remedy: "run `connector topics apply`, or repair that topic; it resumes by itself",
	},
	HoldUnwritable: {
		meaning: "a retry or dead-letter topic accepts no records: too few replicas, missing permission, a record " +
			"that is too large, or brokers that are away. The log names it. Offsets wait, and lanes with them",
		remedy: "repair that topic; it resumes by itself",
	},
}
