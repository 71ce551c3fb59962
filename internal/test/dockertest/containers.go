//go:build docker

package dockertest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

// The images, the same as in docker-compose.yml.
const (
	KafkaImage    = "apache/kafka:4.3.1"
	RegistryImage = "apicurio/apicurio-registry:3.3.3"
)

// startTimeout bounds the start of one container, the pull of its image included.
const startTimeout = 4 * time.Minute

// The listeners of a broker. Clients outside come by the mapped port, brokers by their names in the network.
const (
	clientPort     = "9092"
	brokerPort     = "9093"
	controllerPort = "9094"
)

// Kafka is a cluster of brokers in containers, ended with the test.
type Kafka struct {
	// Brokers are the addresses that clients of this machine use, one a broker.
	Brokers []string
	// Containers are the brokers, in the order of their node ids from 1, for tests that pause one or cut it off. One that is stopped and
	// started again may get another port, and then advertises a wrong one.
	Containers []testcontainers.Container
}

// StartKafka starts a KRaft cluster of n brokers that are controllers too, and waits until all of them serve. Internal topics have min(n, 3)
// replicas.
func StartKafka(t *testing.T, n int) *Kafka {
	t.Helper()
	testcontainers.SkipIfProviderIsNotHealthy(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	nw, err := network.New(ctx)
	if err != nil {
		t.Fatalf("making a network for the brokers: %v", err)
	}
	t.Cleanup(func() {
		if err := nw.Remove(context.Background()); err != nil {
			t.Errorf("removing the brokers' network: %v", err)
		}
	})
	k := &Kafka{}
	for id := 1; id <= n; id++ {
		k.Containers = append(k.Containers, create(t, ctx, brokerRequest(id, n, nw.Name)))
	}
	for id, c := range k.Containers {
		k.Brokers = append(k.Brokers, advertise(t, ctx, c, id+1))
	}
	for id, c := range k.Containers {
		if err := wait.ForLog("Transitioning from RECOVERY to RUNNING").WithStartupTimeout(startTimeout).WaitUntilReady(ctx, c); err != nil {
			t.Fatalf("waiting for broker %d: %v", id+1, err)
		}
	}
	return k
}

// starter is the script that the container's entry waits for: a broker must advertise the port that Docker maps, known only once it runs.
const starter = "/tmp/start.sh"

func brokerRequest(id, n int, networkName string) testcontainers.ContainerRequest {
	return testcontainers.ContainerRequest{
		Image:          KafkaImage,
		ExposedPorts:   []string{clientPort + "/tcp"},
		Networks:       []string{networkName},
		NetworkAliases: map[string][]string{networkName: {alias(id)}},
		Env:            brokerEnv(id, n),
		Entrypoint:     []string{"sh", "-c", "while [ ! -x " + starter + " ]; do sleep 0.05; done; exec " + starter},
		HostConfigModifier: func(h *container.HostConfig) {
			h.Memory = 1 << 30
		},
	}
}

// brokerEnv sets all KRaft keys: with any of them set, the image uses none of its defaults.
func brokerEnv(id, n int) map[string]string {
	voters := make([]string, n)
	for i := range n {
		voters[i] = fmt.Sprintf("%d@%s:%s", i+1, alias(i+1), controllerPort)
	}
	replicas := fmt.Sprint(min(n, 3))
	minISR := fmt.Sprint(max(1, min(n, 3)-1))
	return map[string]string{
		"CLUSTER_ID":                                             "5L6g3nShT-eMCtK--X86sw",
		"KAFKA_NODE_ID":                                          fmt.Sprint(id),
		"KAFKA_PROCESS_ROLES":                                    "broker,controller",
		"KAFKA_LISTENERS":                                        "CLIENT://:" + clientPort + ",BROKER://:" + brokerPort + ",CONTROLLER://:" + controllerPort,
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":                   "CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"KAFKA_INTER_BROKER_LISTENER_NAME":                       "BROKER",
		"KAFKA_CONTROLLER_LISTENER_NAMES":                        "CONTROLLER",
		"KAFKA_CONTROLLER_QUORUM_VOTERS":                         strings.Join(voters, ","),
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":                 replicas,
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR":         replicas,
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":                    minISR,
		"KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": replicas,
		"KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR":            minISR,
		"KAFKA_DEFAULT_REPLICATION_FACTOR":                       replicas,
		"KAFKA_MIN_INSYNC_REPLICAS":                              minISR,
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":                 "0",
		"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                        "false",
		"KAFKA_LOG_DIRS":                                         "/tmp/kraft-combined-logs",
		"KAFKA_HEAP_OPTS":                                        "-Xms256m -Xmx384m",
	}
}

func alias(id int) string { return fmt.Sprintf("kafka%d", id) }

// advertise gives the broker its outer address and lets it start.
func advertise(t *testing.T, ctx context.Context, c testcontainers.Container, id int) string {
	t.Helper()
	address := endpoint(t, ctx, c, clientPort)
	script := fmt.Sprintf("#!/bin/sh\nexport KAFKA_ADVERTISED_LISTENERS=CLIENT://%s,BROKER://%s:%s\nexec /etc/kafka/docker/run\n", address, alias(id), brokerPort)
	if err := c.CopyToContainer(ctx, []byte(script), starter, 0o755); err != nil {
		t.Fatalf("copying the starter into broker %d: %v", id, err)
	}
	return address
}

// StartRegistry starts a schema registry and gives the base URL of its Confluent-compatible API.
func StartRegistry(t *testing.T) string {
	t.Helper()
	testcontainers.SkipIfProviderIsNotHealthy(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c := create(t, ctx, testcontainers.ContainerRequest{
		Image:        RegistryImage,
		ExposedPorts: []string{"8080/tcp", "9000/tcp"},
		WaitingFor:   wait.ForHTTP("/health/ready").WithPort("9000/tcp").WithStartupTimeout(startTimeout),
	})
	return "http://" + endpoint(t, ctx, c, "8080") + "/apis/ccompat/v7"
}

func create(t *testing.T, ctx context.Context, req testcontainers.ContainerRequest) testcontainers.Container {
	t.Helper()
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{ContainerRequest: req, Started: true})
	testcontainers.CleanupContainer(t, c, testcontainers.StopTimeout(0))
	if err != nil {
		t.Fatalf("starting %s: %v", req.Image, err)
	}
	return c
}

func endpoint(t *testing.T, ctx context.Context, c testcontainers.Container, port string) string {
	t.Helper()
	host, err := c.Host(ctx)
	if err != nil {
		t.Fatalf("asking for the container's host: %v", err)
	}
	mapped, err := c.MappedPort(ctx, nat.Port(port+"/tcp"))
	if err != nil {
		t.Fatalf("asking for the mapped port %s: %v", port, err)
	}
	return net.JoinHostPort(host, mapped.Port())
}
