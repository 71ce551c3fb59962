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
	// sendMargin is what a stop needs beyond the longest vendor call, to settle and commit; leaveMargin is what leaving the group needs
	// beyond that.
	sendMargin  = 5 * time.Second
	leaveMargin = 10 * time.Second
	delaysMax   = 16
	// rebalanceMax is what kafka.rebalance_timeout allows at most.
	rebalanceMax = time.Hour
)

// checkConfig checks what tags cannot say: what must be given, and how settings relate.
func checkConfig(c *Config, f *Violations) {
	if c.Name == "" {
		f.Add("name", "must be given")
	}
	if len(c.Kafka.Brokers) == 0 {
		f.Add("kafka.brokers", "must be given: host:port of at least one broker")
	}
	mustNotBeEmpty(c.Kafka.Brokers, "kafka.brokers", f)
	if len(c.SchemaRegistry.URLs) == 0 {
		f.Add("schema_registry.urls", "must be given: the URL of at least one registry")
	}
	mustNotBeEmpty(c.SchemaRegistry.URLs, "schema_registry.urls", f)
	checkTLS(c.Kafka.TLS, f.below("kafka.tls"))
	checkSASL(c.Kafka.SASL, f.below("kafka.sasl"))
	checkRegistryLogin(c.SchemaRegistry, f.below("schema_registry"))
	if c.Topics.ReplicationFactor == 0 {
		f.Add("topics.replication_factor", "must be -1 or 1 to 32")
	}
	checkTimeouts(c, f)
	for i := range c.Pipelines {
		checkPipeline(c.Name, &c.Pipelines[i], f.below(join("pipelines", c.Pipelines[i].Name)))
	}
	checkNames(c, f)
	checkShared(c, f)
}

func mustNotBeEmpty(items []string, path string, f *Violations) {
	for i, item := range items {
		if item == "" {
			f.Add(fmt.Sprintf("%s[%d]", path, i), "must not be empty")
		}
	}
}

func checkTLS(t TLS, f *Violations) {
	if !t.Enabled {
		for key, value := range map[string]string{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile, "server_name": t.ServerName} {
			if value != "" {
				f.Add(key, "must be empty unless tls.enabled is true")
			}
		}
	}
	if t.CertFile != "" && t.KeyFile == "" {
		f.Add("key_file", "must be given with cert_file")
	}
	if t.KeyFile != "" && t.CertFile == "" {
		f.Add("cert_file", "must be given with key_file")
	}
	if isReadable(t.CAFile) && !holdsCertificate(t.CAFile) {
		f.Add("ca_file", "must hold a certificate in PEM form")
	}
	if isReadable(t.CertFile) && isReadable(t.KeyFile) {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			f.Add("key_file", "must be the key of cert_file, both in PEM form")
		}
	}
}

func holdsCertificate(file string) bool {
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
			f.Add(key, "must be given with mechanism %s", s.Mechanism)
		}
	}
}

func checkRegistryLogin(s SchemaRegistry, f *Violations) {
	if s.Password.IsSet() && s.Username == "" {
		f.Add("username", "must be given with password")
	}
	if s.Username != "" && !s.Password.IsSet() {
		f.Add("password", "must be given with username")
	}
}

// checkTimeouts holds a drain between the longest vendor call and the time that the group gives.
func checkTimeouts(c *Config, f *Violations) {
	var slowest Account
	for _, a := range c.Accounts {
		if a.Timeout > slowest.Timeout || a.Timeout == slowest.Timeout && a.Name < slowest.Name {
			slowest = a
		}
	}
	if slowest.Name == "" {
		return // that no account is used is a fault already
	}
	if longest := rebalanceMax - leaveMargin - sendMargin; slowest.Timeout > longest {
		f.Add(join(join("vendors", slowest.Name), "timeout"), "must be at most %s, for kafka.rebalance_timeout is at most %s", DelayName(longest), DelayName(rebalanceMax))
		return
	}
	least, most := slowest.Timeout+sendMargin, c.Kafka.RebalanceTimeout-leaveMargin
	switch {
	case least > most:
		f.Add("kafka.rebalance_timeout", "must be %s or more: vendors.%s.timeout %s + %s to settle + %s to leave the group",
			DelayName(least+leaveMargin), slowest.Name, DelayName(slowest.Timeout), DelayName(sendMargin), DelayName(leaveMargin))
	case c.DrainTimeout < least:
		f.Add("drain_timeout", "must be %s or more: vendors.%s.timeout %s + %s to settle",
			DelayName(least), slowest.Name, DelayName(slowest.Timeout), DelayName(sendMargin))
	case c.DrainTimeout > most:
		f.Add("drain_timeout", "must be at most %s: kafka.rebalance_timeout %s - %s to leave the group",
			DelayName(most), DelayName(c.Kafka.RebalanceTimeout), DelayName(leaveMargin))
	}
}

func checkPipeline(name string, p *Pipeline, f *Violations) {
	if p.Topic == "" {
		f.Add("topic", "must be given")
	}
	checkBatch(p, f)
	checkRetry(p.Retry, f.below("retry"))
	if p.Ordering == OrderingKey && len(p.Routes) > 1 {
		f.Add("ordering", "must be none, or the pipeline must have exactly one operation (it has %d): order is kept per key within one operation", len(p.Routes))
	}
	repeatable := len(p.Routes) > 0 && !slices.ContainsFunc(p.Routes, func(r Route) bool { return !r.Repeatable })
	switch {
	case repeatable && p.Unknown.Policy != "":
		f.Add("unknown.policy", "must be left out: %s is repeatable, an unknown outcome is sent again without harm", p.Routes[0].FullName())
	case repeatable && p.Unknown.Resends != 0:
		f.Add("unknown.resends", "must be left out: %s is repeatable, an unknown outcome is sent again without harm", p.Routes[0].FullName())
	case p.Unknown.Policy == UnknownDeadLetter && p.Unknown.Resends != 0:
		f.Add("unknown.resends", "must be left out with policy dead_letter")
	}
	for _, topic := range derivedTopics(name, p) {
		if len(topic) > topicNameMax {
			f.Add("", "must have a shorter name: topic %s would have %d characters, Kafka allows %d", topic, len(topic), topicNameMax)
			break
		}
	}
}

// checkBatch: what is in flight must hold one whole batch, or no batch is ever full.
func checkBatch(p *Pipeline, f *Violations) {
	most := 0
	for _, r := range p.Routes {
		most = max(most, r.MaxItems)
	}
	if len(p.Routes) > 0 && p.Batch.MaxItems > most {
		f.Add("batch.max_items", "must be at most %d, what an operation of this pipeline takes; 0: each one's default", most)
	}
	if p.MaxInFlight < most {
		f.Add("max_in_flight", "must be %d or more, one whole batch", most)
	}
	if p.MaxInFlightBytes < p.Batch.MaxBytes {
		f.Add("max_in_flight_bytes", "must be %s or more, one whole batch (batch.max_bytes)", p.Batch.MaxBytes)
	}
}

func checkRetry(r Retry, f *Violations) {
	if len(r.Delays) == 0 || len(r.Delays) > delaysMax {
		f.Add("delays", "must have 1 to %d delays", delaysMax)
		return
	}
	for i := 1; i < len(r.Delays); i++ {
		if r.Delays[i] <= r.Delays[i-1] {
			f.Add("delays", "must ascend: %s stands after %s", DelayName(r.Delays[i]), DelayName(r.Delays[i-1]))
		}
	}
	if last := r.Delays[len(r.Delays)-1]; r.MaxAge < last {
		f.Add("max_age", "must be %s or more, the last delay, for its tier would never be reached", DelayName(last))
	}
}

// checkNames: a pipeline must not read what the connector writes. Kafka takes names that differ in . and _ alone for the same.
func checkNames(c *Config, f *Violations) {
	writer := map[string]string{}
	for i := range c.Pipelines {
		for _, topic := range derivedTopics(c.Name, &c.Pipelines[i]) {
			writer[folded(topic)] = c.Pipelines[i].Name
		}
	}
	for _, p := range c.Pipelines {
		if name := writer[folded(p.Topic)]; name != "" {
			f.Add(join(join("pipelines", p.Name), "topic"), "must not be a topic that pipeline %s writes", name)
		}
	}
}

// checkShared: pipelines that read one topic must not do each other's work, nor give up what another one takes.
func checkShared(c *Config, f *Violations) {
	for i, p := range c.Pipelines {
		for j, other := range c.Pipelines {
			if i != j && p.Topic == other.Topic {
				checkShare(&p, &other, j < i, f.below(join("pipelines", p.Name)))
			}
		}
	}
}

// checkShare looks at what another pipeline of the topic sends. What both do is told of the later one.
func checkShare(p, other *Pipeline, later bool, f *Violations) {
	for _, r := range other.Routes {
		at := slices.IndexFunc(p.Routes, func(own Route) bool { return own.Event == r.Event })
		switch {
		case at < 0 && p.Unmapped == ToDeadLetter:
			f.Add("unmapped", "must be skip, for pipeline %s sends %s of the same topic, and here each would be a dead letter", other.Name, r.Event)
		case at >= 0 && later && p.Routes[at].FullName() == r.FullName():
			f.Add("events", "must not send %s to %s: pipeline %s does, of the same topic, so each would be delivered twice", r.Event, r.FullName(), other.Name)
		}
	}
}

func folded(topic string) string { return strings.ReplaceAll(topic, ".", "_") }
