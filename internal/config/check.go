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
func checkConfig(c *Config, f *Violations) {
	if c.Name == "" {
		f.Add("name", "is mandatory")
	}
	if len(c.Kafka.Brokers) == 0 {
		f.Add("kafka.brokers", "is mandatory: host:port of at least one broker")
	}
	mustNotBeEmpty(c.Kafka.Brokers, "kafka.brokers", f)
	if len(c.SchemaRegistry.URLs) == 0 {
		f.Add("schema_registry.urls", "is mandatory: the URL of at least one registry")
	}
	mustNotBeEmpty(c.SchemaRegistry.URLs, "schema_registry.urls", f)
	checkTLSSettings(c.Kafka.TLS, f.forSection("kafka.tls"))
	checkSASL(c.Kafka.SASL, f.forSection("kafka.sasl"))
	checkRegistryLogin(c.SchemaRegistry, f.forSection("schema_registry"))
	if c.Topics.ReplicationFactor == 0 {
		f.Add("topics.replication_factor", "must be -1 or 1 to 32")
	}
	checkTimeouts(c, f)
	for i := range c.Pipelines {
		checkPipelineSettings(c.Name, &c.Pipelines[i], f.forSection(joinPath("pipelines", c.Pipelines[i].Name)))
	}
	checkTopicNames(c, f)
	checkSharedTopics(c, f)
}

func mustNotBeEmpty(items []string, path string, f *Violations) {
	for i, item := range items {
		if item == "" {
			f.Add(fmt.Sprintf("%s[%d]", path, i), "must not be empty")
		}
	}
}

func checkTLSSettings(t TLS, f *Violations) {
	if !t.Enabled {
		for key, value := range map[string]string{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile, "server_name": t.ServerName} {
			if value != "" {
				f.Add(key, "must be empty unless tls.enabled is true")
			}
		}
	}
	if t.CertFile != "" && t.KeyFile == "" {
		f.Add("key_file", "is mandatory with cert_file")
	}
	if t.KeyFile != "" && t.CertFile == "" {
		f.Add("cert_file", "is mandatory with key_file")
	}
	if isReadable(t.CAFile) && !containsCertificate(t.CAFile) {
		f.Add("ca_file", "must contain a certificate in PEM form")
	}
	if isReadable(t.CertFile) && isReadable(t.KeyFile) {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			f.Add("key_file", "must be the key of cert_file, both in PEM form")
		}
	}
}

func containsCertificate(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && x509.NewCertPool().AppendCertsFromPEM(text)
}

func checkSASL(s SASL, f *Violations) {
	given := map[string]bool{"username": s.Username != "", "password": s.Password.IsSet(), "token_url": s.TokenURL != "", "scope": s.Scope != ""}
	for key, set := range given {
		oauth := key == "token_url" || key == "scope"
		switch {
		case set && s.Mechanism == "":
			f.Add(key, "must be empty unless sasl.mechanism is given")
		case set && oauth && s.Mechanism != MechanismOAuthBearer:
			f.Add(key, "must be empty unless sasl.mechanism is OAUTHBEARER")
		case !set && (!oauth && s.Mechanism != "" || key == "token_url" && s.Mechanism == MechanismOAuthBearer):
			f.Add(key, "is mandatory with mechanism %s", s.Mechanism)
		}
	}
}

func checkRegistryLogin(s SchemaRegistry, f *Violations) {
	if s.Password.IsSet() && s.Username == "" {
		f.Add("username", "is mandatory with password")
	}
	if s.Username != "" && !s.Password.IsSet() {
		f.Add("password", "is mandatory with username")
	}
}

// checkTimeouts requires that a drain takes longer than the longest vendor call, and less than the
// group allows for a rebalance.
func checkTimeouts(c *Config, f *Violations) {
	var slowest Account
	for _, a := range c.Accounts {
		if a.Timeout > slowest.Timeout || a.Timeout == slowest.Timeout && a.Name < slowest.Name {
			slowest = a
		}
	}
	if slowest.Name == "" {
		return // that no account is used is already reported
	}
	if longest := maxRebalanceTimeout - leaveMargin - settleMargin; slowest.Timeout > longest {
		f.Add(joinPath(joinPath("vendors", slowest.Name), "timeout"), "must be at most %s, because kafka.rebalance_timeout is at most %s", DelayName(longest), DelayName(maxRebalanceTimeout))
		return
	}
	least, most := slowest.Timeout+settleMargin, c.Kafka.RebalanceTimeout-leaveMargin
	switch {
	case least > most:
		f.Add("kafka.rebalance_timeout", "must be %s or more: vendors.%s.timeout %s + %s to settle + %s to leave the group",
			DelayName(least+leaveMargin), slowest.Name, DelayName(slowest.Timeout), DelayName(settleMargin), DelayName(leaveMargin))
	case c.DrainTimeout < least:
		f.Add("drain_timeout", "must be %s or more: vendors.%s.timeout %s + %s to settle",
			DelayName(least), slowest.Name, DelayName(slowest.Timeout), DelayName(settleMargin))
	case c.DrainTimeout > most:
		f.Add("drain_timeout", "must be at most %s: kafka.rebalance_timeout %s - %s to leave the group",
			DelayName(most), DelayName(c.Kafka.RebalanceTimeout), DelayName(leaveMargin))
	}
}

func checkPipelineSettings(name string, p *Pipeline, f *Violations) {
	if p.Topic == "" {
		f.Add("topic", "is mandatory")
	}
	checkBatchLimits(p, f)
	checkRetryDelays(p.Retry, f.forSection("retry"))
	if p.Ordering == OrderingKey && len(p.Routes) > 1 {
		f.Add("ordering", "must be none, or the pipeline must have exactly one operation (it has %d), because order is kept within one operation", len(p.Routes))
	}
	repeatable := len(p.Routes) > 0 && !slices.ContainsFunc(p.Routes, func(r Route) bool { return !r.Repeatable })
	switch {
	case repeatable && p.Unknown.Policy != "":
		f.Add("unknown.policy", "must be omitted, because %s is repeatable: sending again after an unknown outcome does no harm", p.Routes[0].OperationName())
	case repeatable && p.Unknown.Resends != 0:
		f.Add("unknown.resends", "must be omitted, because %s is repeatable: sending again after an unknown outcome does no harm", p.Routes[0].OperationName())
	case p.Unknown.Policy == UnknownDeadLetter && p.Unknown.Resends != 0:
		f.Add("unknown.resends", "must be omitted with policy dead_letter")
	}
	for _, topic := range derivedTopics(name, p) {
		if len(topic) > maxTopicNameLength {
			f.Add("", "must have a shorter name: topic %s would have %d characters, and Kafka allows %d", topic, len(topic), maxTopicNameLength)
			break
		}
	}
}

// checkBatchLimits requires that the records in flight can fill a whole batch; otherwise no batch
// would ever be full.
func checkBatchLimits(p *Pipeline, f *Violations) {
	largest := 0
	for _, r := range p.Routes {
		largest = max(largest, r.MaxItems)
	}
	if len(p.Routes) > 0 && p.Batch.MaxItems > largest {
		f.Add("batch.max_items", "must be at most %d, the largest cap of this pipeline's operations; 0: each operation's default", largest)
	}
	if p.MaxInFlight < largest {
		f.Add("max_in_flight", "must be %d or more, one whole batch", largest)
	}
	if p.MaxInFlightBytes < p.Batch.MaxBytes {
		f.Add("max_in_flight_bytes", "must be %s or more, one whole batch (batch.max_bytes)", p.Batch.MaxBytes)
	}
}

func checkRetryDelays(r Retry, f *Violations) {
	if len(r.Delays) == 0 || len(r.Delays) > maxRetryDelays {
		f.Add("delays", "must have 1 to %d delays", maxRetryDelays)
		return
	}
	for i := 1; i < len(r.Delays); i++ {
		if r.Delays[i] <= r.Delays[i-1] {
			f.Add("delays", "must be ascending, but %s follows %s", DelayName(r.Delays[i]), DelayName(r.Delays[i-1]))
		}
	}
	if last := r.Delays[len(r.Delays)-1]; r.MaxAge < last {
		f.Add("max_age", "must be %s or more, the last delay; otherwise its tier is never reached", DelayName(last))
	}
}

// checkTopicNames requires that no pipeline consumes a topic that the connector writes. Kafka
// treats names that differ only in '.' and '_' as equal.
func checkTopicNames(c *Config, f *Violations) {
	writer := map[string]string{}
	for i := range c.Pipelines {
		for _, topic := range derivedTopics(c.Name, &c.Pipelines[i]) {
			writer[foldTopicName(topic)] = c.Pipelines[i].Name
		}
	}
	for _, p := range c.Pipelines {
		if name := writer[foldTopicName(p.Topic)]; name != "" {
			f.Add(joinPath(joinPath("pipelines", p.Name), "topic"), "must not be a topic that pipeline %s writes", name)
		}
	}
}

// checkSharedTopics requires that pipelines which consume the same topic neither deliver the same
// events nor dead-letter each other's.
func checkSharedTopics(c *Config, f *Violations) {
	for i, p := range c.Pipelines {
		for j, other := range c.Pipelines {
			if i != j && p.Topic == other.Topic {
				checkSharedTopic(&p, &other, j < i, f.forSection(joinPath("pipelines", p.Name)))
			}
		}
	}
}

// checkSharedTopic compares a pipeline with another one of the same topic. If both deliver an
// event, the later one is reported.
func checkSharedTopic(p, other *Pipeline, isLater bool, f *Violations) {
	for _, r := range other.Routes {
		at := slices.IndexFunc(p.Routes, func(own Route) bool { return own.Event == r.Event })
		switch {
		case at < 0 && p.Unmapped == ToDeadLetter:
			f.Add("unmapped", "must be skip, because pipeline %s delivers %s from the same topic, and this pipeline would dead-letter them", other.Name, r.Event)
		case at >= 0 && isLater && p.Routes[at].OperationName() == r.OperationName():
			f.Add("events", "must not deliver %s to %s, because pipeline %s already does so from the same topic", r.Event, r.OperationName(), other.Name)
		}
	}
}

func foldTopicName(topic string) string { return strings.ReplaceAll(topic, ".", "_") }
