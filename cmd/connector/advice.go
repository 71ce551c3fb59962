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

// advice says what to do about an error; empty where the error says so itself, or nothing general can be said.
func advice(err error) string {
	var refused *sample.SubjectRefusedError
	var answer *sr.ResponseError
	var network *net.OpError
	switch {
	case errors.As(err, &refused):
		return "make the schema compatible, or change the subject's compatibility in the registry"
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return "check schema_registry.username and password, and what that user may do"
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return "check kafka.sasl"
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return "give the user of kafka.sasl the right to do this (ACLs)"
	case errors.As(err, &network) && network.Op == "listen":
		return "give an address of this machine whose port is free"
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return "check that the address is right and that the server is up"
	}
	return ""
}
