// Package dockertest proves against a real broker and a real registry, in containers, what the embedded ones are too kind to prove. Its tests
// need build tag docker and a Docker engine; without an engine they skip.
package dockertest
