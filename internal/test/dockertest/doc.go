// Package dockertest tests against a real broker and a real schema registry, in containers, what
// the embedded ones are too lenient to verify. Its tests need build tag docker, and are skipped
// without a Docker engine.
package dockertest
