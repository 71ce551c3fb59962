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

// KafkaOptions are what every Kafka client of a configuration shares: brokers, TLS, login and log.
func KafkaOptions(k config.Kafka, dial Dial, log *zap.Logger) ([]kgo.Opt, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.WithLogger(countRepeats(kzap.New(log.Named("kafka").WithOptions(zap.IncreaseLevel(max(zapcore.WarnLevel, zapcore.LevelOf(log.Core()))))))),
	}
	if k.TLS.Enabled {
		cfg, err := tlsConfig(k.TLS)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls: %w", err)
		}
		dial = tlsDial(dial, cfg)
	}
	opts = append(opts, kgo.Dialer(dial))
	if k.SASL.Mechanism != "" {
		login, err := mechanism(k.SASL)
		if err != nil {
			return nil, fmt.Errorf("kafka.sasl: %w", err)
		}
		opts = append(opts, kgo.SASL(login))
	}
	return opts, nil
}

func tlsConfig(t config.TLS) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s: holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile == "" {
		return cfg, nil
	}
	if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
		return nil, fmt.Errorf("reading cert_file and key_file: %w", err)
	}
	// Read at each handshake, so that a renewed certificate is taken without a restart.
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading cert_file and key_file: %w", err)
		}
		return &c, nil
	}
	return cfg, nil
}

func tlsDial(dial Dial, cfg *tls.Config) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := cfg
		if own.ServerName == "" {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("broker address %s: %w", address, err), conn.Close())
			}
			own = cfg.Clone()
			own.ServerName = host
		}
		secure := tls.Client(conn, own)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("greeting broker %s by TLS: %w", address, err), conn.Close())
		}
		return secure, nil
	}
}

func mechanism(s config.SASL) (sasl.Mechanism, error) {
	user, password := s.Username, s.Password.Reveal()
	switch s.Mechanism {
	case config.MechanismPlain:
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case config.MechanismScram256:
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case config.MechanismScram512:
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	case config.MechanismOAuthBearer:
		return bearer(s)
	default:
		return nil, fmt.Errorf("mechanism is %q: %s, %s, %s and %s are allowed", s.Mechanism,
			config.MechanismPlain, config.MechanismScram256, config.MechanismScram512, config.MechanismOAuthBearer)
	}
}

// tokenTimeout bounds one request to the token endpoint.
const tokenTimeout = 30 * time.Second

// bearer logs in with a token of client credentials (RFC 6749 4.4), had anew a minute before it ends.
func bearer(s config.SASL) (sasl.Mechanism, error) {
	client, err := vendorhttp.NewClient(vendorhttp.Options{})
	if err != nil {
		return nil, err
	}
	client.Timeout = tokenTimeout
	tokens := vendorhttp.NewTokenSource(vendorhttp.ClientCredentials(client, s.TokenURL, s.Username, s.Password.Reveal(), s.Scope, vendorhttp.AuthInBody), time.Minute)
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, _, err := tokens.Get(ctx)
		return oauth.Auth{Token: token}, err
	}), nil
}
