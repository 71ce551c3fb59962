package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sluice/internal/config"
	"sluice/internal/sink/vendorhttp"
)

// Dial connects to a host, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// dialTimeout bounds one connection attempt to a broker.
const dialTimeout = 10 * time.Second

// KafkaOptions returns the options that all Kafka clients of a configuration share: brokers, TLS,
// SASL and logging.
func KafkaOptions(cfg config.Kafka, dial Dial, log *zap.Logger) ([]kgo.Opt, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	opts := []kgo.Opt{kgo.SeedBrokers(cfg.Brokers...), kgo.WithLogger(newKafkaLogger(log))}
	if cfg.TLS.Enabled {
		tlsConfig, err := newTLSConfig(cfg.TLS)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls: %w", err)
		}
		dial = dialTLS(dial, tlsConfig)
	}
	opts = append(opts, kgo.Dialer(dial))
	if cfg.SASL.Mechanism != "" {
		mechanism, err := saslMechanism(cfg.SASL)
		if err != nil {
			return nil, fmt.Errorf("kafka.sasl: %w", err)
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// newKafkaLogger returns the logger of the Kafka clients, which logs warnings and errors.
func newKafkaLogger(log *zap.Logger) kgo.Logger {
	level := max(zapcore.WarnLevel, zapcore.LevelOf(log.Core()))
	return limitRepeats(kzap.New(log.Named("kafka").WithOptions(zap.IncreaseLevel(level))))
}

func newTLSConfig(cfg config.TLS) (*tls.Config, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading ca_file: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s: holds no PEM certificate", cfg.CAFile)
		}
	}
	if cfg.CertFile == "" {
		return tlsConfig, nil
	}
	if _, err := loadClientCertificate(cfg); err != nil {
		return nil, err
	}
	// The files are read at each handshake, so that renewing the certificate requires no restart.
	tlsConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return loadClientCertificate(cfg)
	}
	return tlsConfig, nil
}

func loadClientCertificate(cfg config.TLS) (*tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading cert_file and key_file: %w", err)
	}
	return &certificate, nil
}

// dialTLS returns a Dial that wraps the connections of dial in TLS. Unless cfg has a server name,
// the broker's certificate must be valid for the host that is dialed.
func dialTLS(dial Dial, cfg *tls.Config) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		hostConfig := cfg
		if cfg.ServerName == "" {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("broker address %s: %w", address, err), conn.Close())
			}
			hostConfig = cfg.Clone()
			hostConfig.ServerName = host
		}
		secure := tls.Client(conn, hostConfig)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS handshake with broker %s: %w", address, err), conn.Close())
		}
		return secure, nil
	}
}

func saslMechanism(cfg config.SASL) (sasl.Mechanism, error) {
	user, password := cfg.Username, cfg.Password.Reveal()
	switch cfg.Mechanism {
	case config.MechanismPlain:
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case config.MechanismScram256:
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case config.MechanismScram512:
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	case config.MechanismOAuthBearer:
		return oauthBearer(cfg)
	default:
		return nil, fmt.Errorf("mechanism is %q: %s, %s, %s and %s are allowed", cfg.Mechanism,
			config.MechanismPlain, config.MechanismScram256, config.MechanismScram512, config.MechanismOAuthBearer)
	}
}

const (
	// tokenTimeout bounds one request to the token endpoint.
	tokenTimeout = 30 * time.Second
	// tokenRefreshMargin is how long before its expiry a token is refreshed.
	tokenRefreshMargin = time.Minute
)

// oauthBearer logs in with a token from the client credentials grant (RFC 6749, section 4.4).
func oauthBearer(cfg config.SASL) (sasl.Mechanism, error) {
	client, err := vendorhttp.NewClient(vendorhttp.Options{})
	if err != nil {
		return nil, err
	}
	client.Timeout = tokenTimeout
	fetch := vendorhttp.ClientCredentials(
		client, cfg.TokenURL, cfg.Username, cfg.Password.Reveal(), cfg.Scope, vendorhttp.AuthInBody)
	tokens := vendorhttp.NewTokenSource(fetch, tokenRefreshMargin)
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, _, err := tokens.Get(ctx)
		return oauth.Auth{Token: token}, err
	}), nil
}
