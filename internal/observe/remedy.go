package observe

// holdDescription explains a hold reason in docs/metrics.md: what it means, and what an operator
// can do about it.
type holdDescription struct{ meaning, remedy string }

var holdDescriptions = map[HoldReason]holdDescription{
	HoldUnauthorized: {
		meaning: "the vendor refuses the credentials, or refuses a call even after the access token was refreshed",
		remedy: "replace the credentials in the configuration and restart. Probes continue at long intervals, because " +
			"vendors lock accounts after repeated failures",
	},
	HoldMisconfigured: {
		meaning: "a wrong URL, a redirect, a TLS or DNS failure, or a vendor code that points to the configuration",
		remedy:  "correct `base_url` or the network; the operation resumes by itself once a probe succeeds",
	},
	HoldUnavailable: {
		meaning: "the vendor or its token endpoint does not respond, or responds with an error",
		remedy:  "none; the operation resumes by itself",
	},
	HoldThrottled: {
		meaning: "the vendor asked for fewer calls",
		remedy:  "none; lower `concurrency` or `requests_per_second` if it persists",
	},
	HoldFlood: {
		meaning: "more than `dead_letter.guard.max_ratio` of the pipeline's last records were refused, or more than a " +
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
			"behind it wait as well",
		remedy: "register the schema; after `unknown_id_wait` the record becomes a dead letter",
	},
	HoldKafka: {
		meaning: "no broker has responded since the process started, so nothing has been read yet",
		remedy:  "check the brokers and `kafka.brokers`, `kafka.tls` and `kafka.sasl`; the log has the error",
	},
	HoldOffsetLost: {
		meaning: "a committed offset is no longer in the partition's log and `on_offset_lost` is `stop`",
		remedy: "set `on_offset_lost` to `earliest` or `latest` and restart, or reset the group's offset with Kafka's " +
			"tools",
	},
	HoldUnreadable: {
		meaning: "a partition cannot be fetched: permission is missing, its topic was deleted or recreated, or a " +
			"batch decompresses to more than 64 MiB. The log names the partition and the error. Other partitions " +
			"continue",
		remedy: "grant the permission, and the partition resumes by itself; restart after a topic was recreated; " +
			"reset the group's offset past an oversized batch with Kafka's tools",
	},
	HoldRecovery: {
		meaning: "a partition is assigned but not fetched yet: a retry partition of the same number is missing, " +
			"refuses the owner's marker or cannot be read up to it, or the commit that names the new owner fails. The log has " +
			"the error. Other partitions continue",
		remedy: "run `connector topics apply`, or repair that topic; the partition resumes by itself",
	},
	HoldUnwritable: {
		meaning: "a retry or dead-letter topic accepts no records: too few in-sync replicas, missing permission, a " +
			"record that is too large, or unreachable brokers. The log names the topic. Its records stay uncommitted, " +
			"and the lanes that produce them wait",
		remedy: "repair that topic; the pipeline resumes by itself",
	},
}
