// Package config loads and validates the connector's configuration file before anything starts.
// Anything that it does not understand is a violation. All violations are reported together, each
// with its place, the value and what is allowed.
//
// A value may contain ${VAR} and ${file:/path}; $$ is a dollar sign. The package is independent of
// the vendors: what it needs from a vendor comes in through VendorType.
package config

import "time"

// Config is a valid configuration.
type Config struct {
	Name           string         `yaml:"name" allow:"topic" doc:"prefix of all consumer groups and topics"`
	Kafka          Kafka          `yaml:"kafka"`
	SchemaRegistry SchemaRegistry `yaml:"schema_registry"`
	Topics         Topics         `yaml:"topics"`
	CommitInterval time.Duration  `yaml:"commit_interval" allow:"0s..10s" doc:"minimum time between two offset commits of a pipeline; 0: commit as soon as something is settled, one commit in flight at a time"`
	DrainTimeout   time.Duration  `yaml:"drain_timeout" allow:"1s..1h" doc:"maximum duration of a stop or revoke; at least the longest vendor timeout + 5s, at most kafka.rebalance_timeout - 10s"`
	Admin          Admin          `yaml:"admin"`
	Log            Log            `yaml:"log"`

	// Accounts has the accounts that a pipeline uses, by name.
	Accounts map[string]Account `yaml:"-"`
	// Pipelines are in the order of the file.
	Pipelines []Pipeline `yaml:"-"`
}

// Kafka configures the connection to the cluster.
type Kafka struct {
	Brokers          []string      `yaml:"brokers" allow:"host:port" doc:"bootstrap brokers; mandatory"`
	TLS              TLS           `yaml:"tls"`
	SASL             SASL          `yaml:"sasl"`
	GroupProtocol    string        `yaml:"group_protocol" allow:"classic|consumer" doc:"classic: cooperative-sticky; consumer: KIP-848, brokers from 4.0 on"`
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout" allow:"15s..1h" doc:"time that a member has to release its partitions in a rebalance"`
}

// Group protocols.
const (
	GroupClassic  = "classic"
	GroupConsumer = "consumer"
)

// TLS configures encryption of the connection.
type TLS struct {
	Enabled    bool   `yaml:"enabled" doc:"use TLS"`
	CAFile     string `yaml:"ca_file" allow:"file" doc:"PEM file of trusted certificate authorities; empty: the system's"`
	CertFile   string `yaml:"cert_file" allow:"file" doc:"PEM file of the client certificate; requires key_file"`
	KeyFile    string `yaml:"key_file" allow:"file" doc:"PEM file of the client key; requires cert_file"`
	ServerName string `yaml:"server_name" doc:"name expected in the broker's certificate; empty: the host connected to"`
}

// SASL configures authentication. With OAUTHBEARER, Username and Password are the client ID and
// secret for the client credentials grant at TokenURL (RFC 6749 section 4.4).
type SASL struct {
	Mechanism string `yaml:"mechanism" allow:"|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER" doc:"empty: no authentication"`
	Username  string `yaml:"username" doc:"user name; with OAUTHBEARER the client ID"`
	Password  Secret `yaml:"password" doc:"password; with OAUTHBEARER the client secret"`
	TokenURL  string `yaml:"token_url" allow:"url" doc:"OAuth 2.0 token endpoint (client credentials grant); only with OAUTHBEARER"`
	Scope     string `yaml:"scope" doc:"OAuth 2.0 scope; only with OAUTHBEARER; empty: none is requested"`
}

// SASL mechanisms.
const (
	MechanismPlain       = "PLAIN"
	MechanismScram256    = "SCRAM-SHA-256"
	MechanismScram512    = "SCRAM-SHA-512"
	MechanismOAuthBearer = "OAUTHBEARER"
)

// SchemaRegistry configures access to the writers' schemas.
type SchemaRegistry struct {
	URLs          []string      `yaml:"urls" allow:"url" doc:"registries with the same schemas, tried in turn; a base path is kept"`
	Username      string        `yaml:"username" doc:"HTTP Basic user name; empty: no authentication"`
	Password      Secret        `yaml:"password" doc:"HTTP Basic password"`
	UnknownIDWait time.Duration `yaml:"unknown_id_wait" allow:"0s..1h" doc:"how long to wait for a schema ID that the registry does not know before the record is dead-lettered"`
}

// Topics configures the connector's own topics.
type Topics struct {
	AutoCreate          bool          `yaml:"auto_create" doc:"run creates topics and fixes their settings; false: it refuses to start if they are not as required"`
	ReplicationFactor   int16         `yaml:"replication_factor" allow:"-1..32" doc:"replication factor of created topics; -1: the broker's default"`
	DeadLetterRetention time.Duration `yaml:"dead_letter_retention" allow:"1m..87600h" doc:"retention of dead letters"`
}

// Admin configures the HTTP server for metrics, health and status.
type Admin struct {
	Listen string `yaml:"listen" allow:"listen" doc:"listen address; :port for all interfaces, port 0 for any free port; empty: no admin server"`
}

// Log configures logging.
type Log struct {
	Level  string `yaml:"level" allow:"debug|info|warn|error" doc:"lowest level that is logged"`
	Format string `yaml:"format" allow:"json|console" doc:"json: one JSON object per line; console: text for people"`
}

// Default returns a configuration with all defaults, without brokers, accounts and pipelines.
func Default() Config {
	return Config{
		Name:           "sluice",
		Kafka:          Kafka{GroupProtocol: GroupClassic, RebalanceTimeout: 90 * time.Second},
		SchemaRegistry: SchemaRegistry{URLs: []string{"http://localhost:8081"}, UnknownIDWait: time.Minute},
		Topics:         Topics{ReplicationFactor: -1, DeadLetterRetention: 720 * time.Hour},
		DrainTimeout:   70 * time.Second,
		Admin:          Admin{Listen: "127.0.0.1:8080"},
		Log:            Log{Level: "info", Format: "json"},
	}
}
