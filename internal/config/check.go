package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// settleMargin is the time that a stop needs after the longest vendor call, to settle and
	// commit.
	settleMargin = 5 * time.Second
	// leaveMargin is the time that leaving the group needs after that.
	leaveMargin    = 10 * time.Second
	maxRetryDelays = 16
	// maxRebalanceTimeout is the upper limit of kafka.rebalance_timeout.
	maxRebalanceTimeout = time.Hour
)

// checkConfig checks what the tags of single fields cannot express: required settings, and rules
// between settings.
func checkConfig(cfg *Config, violations *Violations) {
	if cfg.Name == "" {
		violations.Add("name", "is mandatory")
	}
	if len(cfg.Kafka.Brokers) == 0 {
		violations.Add("kafka.brokers", "is mandatory: host:port of at least one broker")
	}
	checkNoneEmpty(cfg.Kafka.Brokers, "kafka.brokers", violations)
	if len(cfg.SchemaRegistry.URLs) == 0 {
		violations.Add("schema_registry.urls", "is mandatory: the URL of at least one registry")
	}
	checkNoneEmpty(cfg.SchemaRegistry.URLs, "schema_registry.urls", violations)
	checkTLSSettings(cfg.Kafka.TLS, violations.forSection("kafka.tls"))
	checkSASL(cfg.Kafka.SASL, violations.forSection("kafka.sasl"))
	checkRegistryLogin(cfg.SchemaRegistry, violations.forSection("schema_registry"))
	if cfg.Topics.ReplicationFactor == 0 {
		violations.Add("topics.replication_factor", "must be -1 or 1 to 32")
	}
	checkTimeouts(cfg, violations)
	for i := range cfg.Pipelines {
		checkPipelineSettings(cfg.Name, &cfg.Pipelines[i], violations.forSection(joinPath("pipelines", cfg.Pipelines[i].Name)))
	}
	checkTopicNames(cfg, violations)
	checkSharedTopics(cfg, violations)
}

func checkNoneEmpty(items []string, path string, violations *Violations) {
	for i, item := range items {
		if item == "" {
			violations.Add(fmt.Sprintf("%s[%d]", path, i), "must not be empty")
		}
	}
}

func checkTLSSettings(t TLS, violations *Violations) {
	if !t.Enabled {
		for key, value := range map[string]string{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile, "server_name": t.ServerName} {
			if value != "" {
				violations.Add(key, "must be empty unless tls.enabled is true")
			}
		}
	}
	if t.CertFile != "" && t.KeyFile == "" {
		violations.Add("key_file", "is mandatory with cert_file")
	}
	if t.KeyFile != "" && t.CertFile == "" {
		violations.Add("cert_file", "is mandatory with key_file")
	}
	if isReadable(t.CAFile) && !containsCertificate(t.CAFile) {
		violations.Add("ca_file", "must contain a certificate in PEM form")
	}
	if isReadable(t.CertFile) && isReadable(t.KeyFile) {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			violations.Add("key_file", "must be the key of cert_file, both in PEM form")
		}
	}
}

func containsCertificate(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && x509.NewCertPool().AppendCertsFromPEM(text)
}

func checkSASL(sasl SASL, violations *Violations) {
	given := map[string]bool{"username": sasl.Username != "", "password": sasl.Password.IsSet(), "token_url": sasl.TokenURL != "", "scope": sasl.Scope != ""}
	for key, set := range given {
		oauth := key == "token_url" || key == "scope"
		switch {
		case set && sasl.Mechanism == "":
			violations.Add(key, "must be empty unless sasl.mechanism is given")
		case set && oauth && sasl.Mechanism != MechanismOAuthBearer:
			violations.Add(key, "must be empty unless sasl.mechanism is OAUTHBEARER")
		case !set && (!oauth && sasl.Mechanism != "" || key == "token_url" && sasl.Mechanism == MechanismOAuthBearer):
			violations.Add(key, "is mandatory with mechanism %s", sasl.Mechanism)
		}
	}
}

func checkRegistryLogin(registry SchemaRegistry, violations *Violations) {
	if registry.Password.IsSet() && registry.Username == "" {
		violations.Add("username", "is mandatory with password")
	}
	if registry.Username != "" && !registry.Password.IsSet() {
		violations.Add("password", "is mandatory with username")
	}
}

// checkTimeouts requires that drain_timeout is longer than the longest vendor call, and shorter
// than the group allows for a rebalance.
func checkTimeouts(cfg *Config, violations *Violations) {
	var slowest Account
	for _, a := range cfg.Accounts {
		if a.Timeout > slowest.Timeout || a.Timeout == slowest.Timeout && a.Name < slowest.Name {
			slowest = a
		}
	}
	if slowest.Name == "" {
		return // already reported: no account is used
	}
	if longest := maxRebalanceTimeout - leaveMargin - settleMargin; slowest.Timeout > longest {
		violations.Add(joinPath(joinPath("vendors", slowest.Name), "timeout"), "must be at most %s, because kafka.rebalance_timeout is at most %s", DelayName(longest), DelayName(maxRebalanceTimeout))
		return
	}
	least, most := slowest.Timeout+settleMargin, cfg.Kafka.RebalanceTimeout-leaveMargin
	switch {
	case least > most:
		violations.Add("kafka.rebalance_timeout", "must be %s or more: vendors.%s.timeout %s + %s to settle + %s to leave the group",
			DelayName(least+leaveMargin), slowest.Name, DelayName(slowest.Timeout), DelayName(settleMargin), DelayName(leaveMargin))
	case cfg.DrainTimeout < least:
		violations.Add("drain_timeout", "must be %s or more: vendors.%s.timeout %s + %s to settle",
			DelayName(least), slowest.Name, DelayName(slowest.Timeout), DelayName(settleMargin))
	case cfg.DrainTimeout > most:
		violations.Add("drain_timeout", "must be at most %s: kafka.rebalance_timeout %s - %s to leave the group",
			DelayName(most), DelayName(cfg.Kafka.RebalanceTimeout), DelayName(leaveMargin))
	}
}

func checkPipelineSettings(name string, pipeline *Pipeline, violations *Violations) {
	if pipeline.Topic == "" {
		violations.Add("topic", "is mandatory")
	}
	checkBatchLimits(pipeline, violations)
	checkRetryDelays(pipeline.Retry, violations.forSection("retry"))
	if pipeline.Ordering == OrderingKey && len(pipeline.Routes) > 1 {
		violations.Add("ordering", "must be none, or the pipeline must have exactly one operation (it has %d), because order is kept within one operation", len(pipeline.Routes))
	}
	repeatable := len(pipeline.Routes) > 0 && !slices.ContainsFunc(pipeline.Routes, func(route Route) bool { return !route.Repeatable })
	switch {
	case repeatable && pipeline.Unknown.Policy != "":
		violations.Add("unknown.policy", "must be omitted, because %s is repeatable: sending again after an unknown outcome does no harm", pipeline.Routes[0].OperationName())
	case repeatable && pipeline.Unknown.Resends != 0:
		violations.Add("unknown.resends", "must be omitted, because %s is repeatable: sending again after an unknown outcome does no harm", pipeline.Routes[0].OperationName())
	case pipeline.Unknown.Policy == UnknownDeadLetter && pipeline.Unknown.Resends != 0:
		violations.Add("unknown.resends", "must be omitted with policy dead_letter")
	}
	for _, topic := range derivedTopics(name, pipeline) {
		if len(topic) > maxTopicNameLength {
			violations.Add("", "must have a shorter name: topic %s would have %d characters, and Kafka allows %d", topic, len(topic), maxTopicNameLength)
			break
		}
	}
}

// checkBatchLimits requires that the records in flight can fill a whole batch; otherwise no batch
// would ever be full.
func checkBatchLimits(pipeline *Pipeline, violations *Violations) {
	largest := 0
	for _, r := range pipeline.Routes {
		largest = max(largest, r.MaxItems)
	}
	if len(pipeline.Routes) > 0 && pipeline.Batch.MaxItems > largest {
		violations.Add("batch.max_items", "must be at most %d, the largest cap of this pipeline's operations; 0: each operation's default", largest)
	}
	if pipeline.MaxInFlight < largest {
		violations.Add("max_in_flight", "must be %d or more, one whole batch", largest)
	}
	if pipeline.MaxInFlightBytes < pipeline.Batch.MaxBytes {
		violations.Add("max_in_flight_bytes", "must be %s or more, one whole batch (batch.max_bytes)", pipeline.Batch.MaxBytes)
	}
}

func checkRetryDelays(retry Retry, violations *Violations) {
	if len(retry.Delays) == 0 || len(retry.Delays) > maxRetryDelays {
		violations.Add("delays", "must have 1 to %d delays", maxRetryDelays)
		return
	}
	for i := 1; i < len(retry.Delays); i++ {
		if retry.Delays[i] <= retry.Delays[i-1] {
			violations.Add("delays", "must be ascending, but %s follows %s", DelayName(retry.Delays[i]), DelayName(retry.Delays[i-1]))
		}
	}
	if last := retry.Delays[len(retry.Delays)-1]; retry.MaxAge < last {
		violations.Add("max_age", "must be %s or more, the last delay; otherwise its tier is never reached", DelayName(last))
	}
}

// checkTopicNames requires that no pipeline consumes a topic that the connector writes to. Kafka
// treats names that differ only in '.' and '_' as equal.
func checkTopicNames(cfg *Config, violations *Violations) {
	pipelineByTopic := map[string]string{}
	for i := range cfg.Pipelines {
		for _, topic := range derivedTopics(cfg.Name, &cfg.Pipelines[i]) {
			pipelineByTopic[foldTopicName(topic)] = cfg.Pipelines[i].Name
		}
	}
	for _, p := range cfg.Pipelines {
		if name := pipelineByTopic[foldTopicName(p.Topic)]; name != "" {
			violations.Add(joinPath(joinPath("pipelines", p.Name), "topic"), "must not be a topic that pipeline %s writes to", name)
		}
	}
}

// checkSharedTopics requires that pipelines which consume the same topic neither deliver the same
// events nor dead-letter each other's.
func checkSharedTopics(cfg *Config, violations *Violations) {
	for i, p := range cfg.Pipelines {
		for j, other := range cfg.Pipelines {
			if i != j && p.Topic == other.Topic {
				checkSharedTopic(&p, &other, j < i, violations.forSection(joinPath("pipelines", p.Name)))
			}
		}
	}
}

// checkSharedTopic compares a pipeline with another one of the same topic. If both deliver an
// event, the later one is reported.
func checkSharedTopic(pipeline, other *Pipeline, isLater bool, violations *Violations) {
	for _, r := range other.Routes {
		at := slices.IndexFunc(pipeline.Routes, func(own Route) bool { return own.Event == r.Event })
		switch {
		case at < 0 && pipeline.Unmapped == ToDeadLetter:
			violations.Add("unmapped", "must be skip, because pipeline %s delivers %s from the same topic, and this pipeline would dead-letter them", other.Name, r.Event)
		case at >= 0 && isLater && pipeline.Routes[at].OperationName() == r.OperationName():
			violations.Add("events", "must not deliver %s to %s, because pipeline %s already does so from the same topic", r.Event, r.OperationName(), other.Name)
		}
	}
}

func foldTopicName(topic string) string { return strings.ReplaceAll(topic, ".", "_") }
