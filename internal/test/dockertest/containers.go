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

// The images, which are those of docker-compose.yml.
const (
	KafkaImage    = "apache/kafka:4.3.1"
	RegistryImage = "apicurio/apicurio-registry:3.3.3"
)

// startTimeout bounds how long starting one container may take, including pulling its image.
const startTimeout = 4 * time.Minute

// The ports of a broker's listeners. Clients on this machine connect to the mapped client port;
// brokers use their names in the containers' network.
const (
	clientPort     = "9092"
	brokerPort     = "9093"
	controllerPort = "9094"
)

// Kafka is a cluster of brokers in containers, which are removed when the test ends.
type Kafka struct {
	// Brokers has one address for each broker, for clients on this machine.
	Brokers []string
	// Containers has the brokers, ordered by node ID from 1, for tests that pause or disconnect
	// one. A broker that is stopped and started again may be mapped to a port other than the one it
	// advertises.
	Containers []testcontainers.Container
}

// StartKafka starts a KRaft cluster and waits until all of its brokers are running. Each broker is
// a controller too. Internal topics have up to three replicas.
func StartKafka(t *testing.T, brokers int) *Kafka {
	t.Helper()
	testcontainers.SkipIfProviderIsNotHealthy(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	nw, err := network.New(ctx)
	if err != nil {
		t.Fatalf("creating a network for the brokers: %v", err)
	}
	t.Cleanup(func() {
		if err := nw.Remove(context.Background()); err != nil {
			t.Errorf("removing the brokers' network: %v", err)
		}
	})
	kafka := &Kafka{}
	for id := 1; id <= brokers; id++ {
		kafka.Containers = append(kafka.Containers, startContainer(t, ctx, brokerRequest(id, brokers, nw.Name)))
	}
	for i, c := range kafka.Containers {
		kafka.Brokers = append(kafka.Brokers, startBroker(t, ctx, c, i+1))
	}
	for i, c := range kafka.Containers {
		running := wait.ForLog("Transitioning from RECOVERY to RUNNING").WithStartupTimeout(startTimeout)
		if err := running.WaitUntilReady(ctx, c); err != nil {
			t.Fatalf("waiting for broker %d: %v", i+1, err)
		}
	}
	return kafka
}

// startScript is the script that starts the broker. The container waits for it, because a broker
// has to advertise its mapped port, which is known only when the container runs.
const startScript = "/tmp/start.sh"

func brokerRequest(id, brokers int, networkName string) testcontainers.ContainerRequest {
	return testcontainers.ContainerRequest{
		Image:          KafkaImage,
		ExposedPorts:   []string{clientPort + "/tcp"},
		Networks:       []string{networkName},
		NetworkAliases: map[string][]string{networkName: {brokerAlias(id)}},
		Env:            brokerEnv(id, brokers),
		Entrypoint: []string{
			"sh", "-c", "while [ ! -x " + startScript + " ]; do sleep 0.05; done; exec " + startScript,
		},
		HostConfigModifier: func(h *container.HostConfig) {
			h.Memory = 1 << 30
		},
	}
}

// brokerEnv sets every key that KRaft needs: if any key is set, the image ignores its defaults.
func brokerEnv(id, brokers int) map[string]string {
	voters := make([]string, brokers)
	for i := range brokers {
		voters[i] = fmt.Sprintf("%d@%s:%s", i+1, brokerAlias(i+1), controllerPort)
	}
	listeners := "CLIENT://:" + clientPort + ",BROKER://:" + brokerPort + ",CONTROLLER://:" + controllerPort
	replicas := fmt.Sprint(min(brokers, 3))
	minISR := fmt.Sprint(max(1, min(brokers, 3)-1))
	return map[string]string{
		"CLUSTER_ID":                                             "5L6g3nShT-eMCtK--X86sw",
		"KAFKA_NODE_ID":                                          fmt.Sprint(id),
		"KAFKA_PROCESS_ROLES":                                    "broker,controller",
		"KAFKA_LISTENERS":                                        listeners,
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

func brokerAlias(id int) string { return fmt.Sprintf("kafka%d", id) }

// startBroker starts the broker in a container that waits for its script, and returns the address
// for clients on this machine, which the broker advertises.
func startBroker(t *testing.T, ctx context.Context, target testcontainers.Container, id int) string {
	t.Helper()
	address := mappedAddress(t, ctx, target, clientPort)
	script := fmt.Sprintf("#!/bin/sh\n"+
		"export KAFKA_ADVERTISED_LISTENERS=CLIENT://%s,BROKER://%s:%s\n"+
		"exec /etc/kafka/docker/run\n", address, brokerAlias(id), brokerPort)
	if err := target.CopyToContainer(ctx, []byte(script), startScript, 0o755); err != nil {
		t.Fatalf("copying the start script into broker %d: %v", id, err)
	}
	return address
}

// StartRegistry starts a schema registry, and returns the base URL of its Confluent-compatible API.
func StartRegistry(t *testing.T) string {
	t.Helper()
	testcontainers.SkipIfProviderIsNotHealthy(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c := startContainer(t, ctx, testcontainers.ContainerRequest{
		Image:        RegistryImage,
		ExposedPorts: []string{"8080/tcp", "9000/tcp"},
		WaitingFor:   wait.ForHTTP("/health/ready").WithPort("9000/tcp").WithStartupTimeout(startTimeout),
	})
	return "http://" + mappedAddress(t, ctx, c, "8080") + "/apis/ccompat/v7"
}

// startContainer starts a container, and removes it when the test ends.
func startContainer(
	t *testing.T, ctx context.Context, req testcontainers.ContainerRequest,
) testcontainers.Container {
	t.Helper()
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: req, Started: true,
	})
	testcontainers.CleanupContainer(t, c, testcontainers.StopTimeout(0))
	if err != nil {
		t.Fatalf("starting %s: %v", req.Image, err)
	}
	return c
}

// mappedAddress returns host:port at which this machine reaches a port of the container.
func mappedAddress(t *testing.T, ctx context.Context, target testcontainers.Container, port string) string {
	t.Helper()
	host, err := target.Host(ctx)
	if err != nil {
		t.Fatalf("reading the container's host: %v", err)
	}
	mapped, err := target.MappedPort(ctx, nat.Port(port+"/tcp"))
	if err != nil {
		t.Fatalf("reading the mapping of port %s: %v", port, err)
	}
	return net.JoinHostPort(host, mapped.Port())
}
