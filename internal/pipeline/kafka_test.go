package pipeline_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sluice/internal/config"
	"sluice/internal/pipeline"
)

// authority signs certificates and writes them to files.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "authority"}})
	return a
}

// sign creates a key and a currently valid certificate for it, which is self-signed if the
// authority has no key yet.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if signer == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) certPool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) serverCertificate() tls.Certificate {
	cert, key := a.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"kafka.internal"}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// writeClient writes the certificate and the key of a client.
func (a *authority) writeClient(certFile, keyFile string) {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "sluice"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, certFile, "CERTIFICATE", cert.Raw)
	writePEM(a.t, keyFile, "PRIVATE KEY", der)
}

func (a *authority) writeCA(file string) string {
	writePEM(a.t, file, "CERTIFICATE", a.cert.Raw)
	return file
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startCluster starts a broker on the loopback interface: both sides of a TLS handshake may write
// at once, which blocks on a pipe in memory.
func startCluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newClient returns a client that does not retry, and what it logs.
func newClient(t *testing.T, cfg config.Kafka) (client *kgo.Client, logged *bytes.Buffer) {
	t.Helper()
	logged = new(bytes.Buffer)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
		zapcore.Lock(zapcore.AddSync(logged)), zap.DebugLevel))
	opts, err := pipeline.KafkaOptions(cfg, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	if client, err = kgo.NewClient(append(opts, kgo.RequestRetries(0))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, logged
}

func TestTLSConnectionAuthenticatesBothSides(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t), newAuthority(t)
	broker := startCluster(t,
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ca.serverCertificate()},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.certPool()}))
	good := config.TLS{
		Enabled: true, CAFile: ca.writeCA(filepath.Join(dir, "ca.pem")),
		CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client.key"),
	}
	ca.writeClient(good.CertFile, good.KeyFile)
	tests := map[string]struct {
		change func(*config.TLS)
		want   string // in the error; empty: none
	}{
		"valid":                           {func(*config.TLS) {}, ""},
		"server_name matches another SAN": {func(c *config.TLS) { c.ServerName = "kafka.internal" }, ""},
		"server_name matches no SAN":      {func(c *config.TLS) { c.ServerName = "elsewhere" }, "not elsewhere"},
		"the system's roots":              {func(c *config.TLS) { c.CAFile = "" }, "unknown authority"},
		"another authority": {func(c *config.TLS) {
			c.CAFile = other.writeCA(filepath.Join(dir,
				"other.pem"))
		}, "unknown authority"},
		"without certificate": {func(c *config.TLS) { c.CertFile, c.KeyFile = "", "" }, "certificate required"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k := config.Kafka{Brokers: broker.ListenAddrs(), TLS: good}
			test.change(&k.TLS)
			client, _ := newClient(t, k)
			err := client.Ping(t.Context())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(),
				test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// Many certificates are short-lived, and a restart for each renewal would cause a rebalance.
func TestRenewedClientCertificateIsUsedForNextConnection(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t), newAuthority(t)
	broker := startCluster(t,
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ca.serverCertificate()},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.certPool()}))
	k := config.Kafka{Brokers: broker.ListenAddrs(), TLS: config.TLS{
		Enabled: true, CAFile: ca.writeCA(filepath.Join(dir, "ca.pem")),
		CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client.key"),
	}}
	other.writeClient(k.TLS.CertFile, k.TLS.KeyFile)
	client, _ := newClient(t, k)
	if err := client.Ping(t.Context()); err == nil {
		t.Fatal("a certificate of another authority was accepted")
	}
	ca.writeClient(k.TLS.CertFile, k.TLS.KeyFile)
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("with the renewed certificate: %v", err)
	}
}

func TestInvalidCertificateFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("-----BEGIN NOTHING-----"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		tls  config.TLS
		want string
	}{
		"no CA file": {config.TLS{CAFile: filepath.Join(dir, "none")},
			"kafka.tls: reading ca_file: open " + filepath.Join(dir, "none")},
		"no CA in it": {config.TLS{CAFile: empty}, "kafka.tls: ca_file " + empty + ": holds no PEM certificate"},
		"no key": {config.TLS{CertFile: empty, KeyFile: filepath.Join(dir, "none")},
			"kafka.tls: reading cert_file and key_file: open " + filepath.Join(dir, "none")},
		"no keypair": {config.TLS{CertFile: empty, KeyFile: empty}, "kafka.tls: reading cert_file and key_file: "},
	}
	for name, test := range tests {
		test.tls.Enabled = true
		_, err := pipeline.KafkaOptions(config.Kafka{TLS: test.tls}, nil, zap.NewNop())
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want %q", name, err, test.want)
		}
	}
}

// A refused login is reported as such, and neither the error nor the log contains the password.
func TestLoginIsAcceptedOrReportedAsRefused(t *testing.T) {
	for _, mechanism := range []string{config.MechanismPlain, config.MechanismScram256, config.MechanismScram512} {
		t.Run(mechanism, func(t *testing.T) {
			broker := startCluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "sluice", "right-secret"))
			login := func(password string) (string, error) {
				client, logged := newClient(t, config.Kafka{
					Brokers: broker.ListenAddrs(),
					SASL:    config.SASL{Mechanism: mechanism, Username: "sluice", Password: config.NewSecret(password)},
				})
				err := client.Ping(t.Context())
				client.Close()
				return logged.String(), err
			}
			if _, err := login("right-secret"); err != nil {
				t.Fatalf("with the right password: %v", err)
			}
			logged, err := login("wrong-secret")
			if err == nil || strings.Contains(err.Error()+logged, "secret") {
				t.Errorf("with a wrong password: %v\n%s", err, logged)
			}
			// kfake closes the connection at a wrong password; a Kafka broker responds with this
			// error.
			broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate},
				Err: kerr.SaslAuthenticationFailed, Count: -1})
			logged, err = login("wrong-secret")
			if !errors.Is(err, kerr.SaslAuthenticationFailed) || strings.Contains(err.Error()+logged, "secret") {
				t.Errorf("with a wrong password, as a broker reports it: %v\n%s", err, logged)
			}
		})
	}
}

// An unknown mechanism must not fall back to one that sends the password in plain text.
func TestUnknownSASLMechanismIsRefused(t *testing.T) {
	_, err := pipeline.KafkaOptions(config.Kafka{SASL: config.SASL{Mechanism: "GSSAPI", Username: "u",
		Password: config.NewSecret("secret")}}, nil, zap.NewNop())
	if want := `kafka.sasl: mechanism is "GSSAPI": PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are allowed`; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %q", err, want)
	}
}
