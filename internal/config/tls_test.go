package config

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The certificate authorities of a whole system are about 200 KB of PEM.
func TestCAFileMayHaveAnySize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, bytes.Repeat(pemCertificate(t), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, minimalWithTLS("ca_file: "+file))
	if c.Kafka.TLS.CAFile != file {
		t.Errorf("ca_file is %q", c.Kafka.TLS.CAFile)
	}
}

func TestCertificatesAndKeysAreValidatedAtStart(t *testing.T) {
	dir := t.TempDir()
	cert, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "other.pem")
	if err := errors.Join(os.WriteFile(cert, pemCertificate(t), 0o600), os.WriteFile(other, []byte("no PEM"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for settings, want := range map[string]string{
		"ca_file: " + other:                          "kafka.tls.ca_file: " + other + ": must contain a certificate in PEM form",
		"cert_file: " + cert + ", key_file: " + cert: "kafka.tls.key_file: " + cert + ": must be the key of cert_file, both in PEM form",
	} {
		_, err := Parse("config.yaml", []byte(minimalWithTLS(settings)), Options{Env: testEnv, Vendors: exampleVendors()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
}

func minimalWithTLS(settings string) string {
	return strings.Replace(minimal, `9092"]`, `9092"], tls: {enabled: true, `+settings+`}`, 1)
}

func pemCertificate(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
