// Package config reads the connector's one file and checks it whole before anything starts: what it does not understand is a fault,
// and all faults are told at once, each with its place, the value and what is allowed.
//
// A value may hold ${VAR} and ${file:/path}; $$ is a dollar. Vendors are not known here: what one needs comes in through VendorType.
package config

import "time"

// Config is a configuration that was found valid.
type Config struct {
	Name           string         `yaml:"name" allow:"topic" doc:"begins the names of all groups and topics"`
	Kafka          Kafka          `yaml:"kafka"`
	SchemaRegistry SchemaRegistry `yaml:"schema_registry"`
	Topics         Topics         `yaml:"topics"`
	CommitInterval time.Duration  `yaml:"commit_interval" allow:"0s..10s" doc:"shortest time between two offset commits of a pipeline; 0: at once, one in flight at a time"`
	DrainTimeout   time.Duration  `yaml:"drain_timeout" allow:"1s..1h" doc:"longest time for a stop or a revoke; at least the longest vendor timeout + 5s, at most kafka.rebalance_timeout - 10s"`
	Admin          Admin          `yaml:"admin"`
	Log            Log            `yaml:"log"`

	// Accounts are those that a pipeline uses, by name.
	Accounts map[string]Account `yaml:"-"`
	// Pipelines stand as in the file.
	Pipelines []Pipeline `yaml:"-"`
}

// Kafka is how the cluster is reached.
type Kafka struct {
	Brokers          []string      `yaml:"brokers" allow:"host:port" doc:"brokers to begin with; must be given"`
	TLS              TLS           `yaml:"tls"`
	SASL             SASL          `yaml:"sasl"`
	GroupProtocol    string        `yaml:"group_protocol" allow:"classic|consumer" doc:"classic: cooperative-sticky; consumer: KIP-848, brokers from 4.0 on"`
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout" allow:"15s..1h" doc:"time that a member has to let go of partitions"`
}

// The group protocols.
const (
	GroupClassic  = "classic"
	GroupConsumer = "consumer"
)

// TLS is how a connection is secured.
type TLS struct {
	Enabled    bool   `yaml:"enabled" doc:"connect with TLS"`
	CAFile     string `yaml:"ca_file" allow:"file" doc:"PEM file of the authorities that are trusted; empty: the system's"`
	CertFile   string `yaml:"cert_file" allow:"file" doc:"PEM file of the client's certificate; with key_file"`
	KeyFile    string `yaml:"key_file" allow:"file" doc:"PEM file of the client's key; with cert_file"`
	ServerName string `yaml:"server_name" doc:"name that the broker's certificate must have; empty: the host that is dialed"`
}

// SASL is how the client logs in. With OAUTHBEARER, Username and Password are the client's id and secret at TokenURL (RFC 6749 4.4).
type SASL struct {
	Mechanism string `yaml:"mechanism" allow:"|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER" doc:"empty: no login"`
	Username  string `yaml:"username" doc:"user; with OAUTHBEARER the client's id"`
	Password  Secret `yaml:"password" doc:"password; with OAUTHBEARER the client's secret"`
	TokenURL  string `yaml:"token_url" allow:"url" doc:"OAuth2 token endpoint (client credentials), with OAUTHBEARER alone"`
	Scope     string `yaml:"scope" doc:"OAuth2 scope, with OAUTHBEARER alone; empty: none is asked for"`
}

// The SASL mechanisms.
const (
	MechanismPlain       = "PLAIN"
	MechanismScram256    = "SCRAM-SHA-256"
	MechanismScram512    = "SCRAM-SHA-512"
	MechanismOAuthBearer = "OAUTHBEARER"
)

// SchemaRegistry is where writers' schemas are found.
type SchemaRegistry struct {
	URLs          []string      `yaml:"urls" allow:"url" doc:"registries that hold the same schemas, tried in turn; a base path is kept"`
	Username      string        `yaml:"username" doc:"HTTP Basic user; empty: no login"`
	Password      Secret        `yaml:"password" doc:"HTTP Basic password"`
	UnknownIDWait time.Duration `yaml:"unknown_id_wait" allow:"0s..1h" doc:"how long a schema id that the registry does not know is waited for before the record is dead"`
}

// Topics is how the connector's own topics are made.
type Topics struct {
	AutoCreate          bool          `yaml:"auto_create" doc:"run makes and mends topics; false: it refuses to start where they are not right"`
	ReplicationFactor   int16         `yaml:"replication_factor" allow:"-1..32" doc:"replicas of a topic that is made; -1: the broker's default"`
	DeadLetterRetention time.Duration `yaml:"dead_letter_retention" allow:"1m..87600h" doc:"how long dead letters are kept"`
}

// Admin is the HTTP server for metrics, health and status.
type Admin struct {
	Listen string `yaml:"listen" allow:"listen" doc:"address; :port for all interfaces, port 0 for any that is free; empty: none"`
}

// Log is what is logged, and how.
type Log struct {
	Level  string `yaml:"level" allow:"debug|info|warn|error" doc:"least level that is logged"`
	Format string `yaml:"format" allow:"json|console" doc:"a JSON object a line, or text for people"`
}

// Default is a configuration with all defaults, without accounts and pipelines; brokers have none.
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
