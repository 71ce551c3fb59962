package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/sr"

	"sluice/internal/demo/sample"
)

// adviceFor returns what to do about an error. It is empty if the error already includes that, or
// if there is no general advice.
func adviceFor(err error) string {
	var refused *sample.SubjectRefusedError
	var response *sr.ResponseError
	var network *net.OpError
	switch {
	case errors.As(err, &refused):
		return "make the schema compatible, or change the subject's compatibility level in the registry"
	case errors.As(err, &response) && isAuthFailure(response.StatusCode):
		return "check schema_registry.username and password, and that user's permissions"
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return "check kafka.sasl"
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return "grant this permission to the user in kafka.sasl (ACLs)"
	case errors.As(err, &network) && network.Op == "listen":
		return "use an address of this machine with a free port"
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return "check the address, and that the server is running"
	}
	return ""
}

func isAuthFailure(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}
