package consume

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/record"
)

// Group is a pipeline's member of its consumer group. It owns both Kafka clients of the pipeline.
type Group struct {
	cfg         Config
	obs         *observe.Pipeline
	log         *zap.Logger
	clients     *clients
	pauser      *pauser
	assignments *assignments
	committer   *committer
}

// NewGroup creates the group without connecting to a broker. Run joins it.
func NewGroup(cfg Config, obs *observe.Pipeline, log *zap.Logger) (*Group, error) {
	clients, err := newClients(cfg)
	if err != nil {
		return nil, err
	}
	pauser := newPauser(clients.clientFor)
	assignments := newAssignments(cfg.Topic, pauser, obs)
	return &Group{
		cfg: cfg, obs: obs, log: log, clients: clients, pauser: pauser, assignments: assignments,
		committer: newCommitter(cfg, clients, assignments, obs, log),
	}, nil
}

// Producer returns the client that produces to the retry and dead-letter topics. It is usable until
// Close.
func (g *Group) Producer() *kgo.Client { return g.clients.retry }

// OwnedPartitions returns how many partitions of the source topic this instance owns, and how many
// there were at the last recovery.
func (g *Group) OwnedPartitions() (owned, all int) { return g.assignments.countOwned() }

// LogIntent commits that a call may carry these records. It returns when the broker has confirmed
// that for every record whose assignment has not ended, or with ctx's error.
func (g *Group) LogIntent(ctx context.Context, intents []record.Intent) error {
	return g.committer.logIntent(ctx, intents)
}

// ClearIntent withdraws intents: the vendor did not act on the call. A record that an earlier call
// may have brought to the vendor keeps the intent of that call.
func (g *Group) ClearIntent(intents []record.Intent) { g.committer.clearIntent(intents) }

// Close closes the client of the retry and dead-letter topics. Call it once nothing uses Producer
// any more.
func (g *Group) Close() { g.clients.retry.Close() }

// Run joins the group and fetches until fetchCtx ends. Then it drains what is in flight, commits
// and leaves the group. If workCtx ends, it stops waiting, but still commits nothing that is not
// settled. It returns only errors that a retry cannot fix.
func (g *Group) Run(fetchCtx, workCtx context.Context, handler Handler) error {
	if err := commitStartPosition(fetchCtx, g.cfg, g.clients.admin, g.log); err != nil && fetchCtx.Err() == nil {
		return err
	}
	if fetchCtx.Err() != nil {
		return nil
	}
	m := g.newMembership(handler)
	clientCtx, cancelClient := context.WithCancel(context.WithoutCancel(workCtx))
	defer cancelClient()
	if err := g.clients.joinGroup(append(m.clientOptions(workCtx), kgo.WithContext(clientCtx))); err != nil {
		return err
	}
	err := m.run(fetchCtx, workCtx)
	// Closing waits for the response to a request in flight, such as a join. Once the work context
	// has ended, it may take leaveTimeout and no longer.
	stop := context.AfterFunc(workCtx, func() { time.AfterFunc(leaveTimeout, cancelClient) })
	defer stop()
	g.clients.group.CloseAllowingRebalance()
	return err
}

// membership is the state of a group member, from joining to leaving.
type membership struct {
	cfg         Config
	clients     *clients
	assignments *assignments
	committer   *committer
	recovery    *recovery
	source      *sourceFetcher
	retries     *retryFetcher
	drainer     *drainer
	housekeeper *housekeeper
	failed      chan error
}

func (g *Group) newMembership(handler Handler) *membership {
	m := &membership{
		cfg: g.cfg, clients: g.clients, assignments: g.assignments, committer: g.committer, failed: make(chan error, 1),
	}
	m.recovery = newRecovery(g.cfg, g.clients, g.assignments, g.pauser, g.committer, g.obs, g.log)
	faults := newFetchFaults(g.assignments, g.pauser, handler, g.log, m.recovery.wake)
	m.source = &sourceFetcher{
		clients: g.clients, assignments: g.assignments, pauser: g.pauser, faults: faults, handler: handler, obs: g.obs,
		credits: record.NewCredits(g.cfg.MaxInFlight, g.cfg.MaxInFlightBytes), fail: m.fail,
	}
	m.retries = &retryFetcher{
		clients: g.clients, assignments: g.assignments, pauser: g.pauser, faults: faults, handler: handler, obs: g.obs,
		credits:  record.NewCredits(g.cfg.MaxInFlight, g.cfg.MaxInFlightBytes),
		deferred: map[topicPartition]time.Time{},
	}
	m.drainer = &drainer{
		timeout: g.cfg.DrainTimeout, clients: g.clients, assignments: g.assignments, committer: g.committer,
		faults: faults, handler: handler, log: g.log,
	}
	m.housekeeper = &housekeeper{
		assignments: g.assignments, faults: faults, intervals: 1,
		cleaner: newRetryCleaner(g.clients.admin, g.assignments, g.log),
		reporter: &progressReporter{
			topics: g.cfg.allTopics(), admin: g.clients.admin, assignments: g.assignments, obs: g.obs,
		},
	}
	return m
}

// clientOptions returns the options of the group client. Its callbacks run on the client's
// goroutine; those that use the client wait until it is set.
func (m *membership) clientOptions(workCtx context.Context) []kgo.Opt {
	return append(groupClientOptions(m.cfg),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			<-m.clients.joined
			m.assignments.addPartitions(added[m.cfg.Topic])
		}),
		kgo.OnOffsetsFetched(func(_ context.Context, _ *kgo.Client, response *kmsg.OffsetFetchResponse) error {
			m.assignments.setCommitted(response)
			m.recovery.wake()
			return nil
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
			m.drainer.endAssignments(workCtx, revoked[m.cfg.Topic], true)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			m.drainer.endAssignments(workCtx, lost[m.cfg.Topic], false)
		}),
	)
}

// run fetches until fetchCtx ends or a permanent error occurs, then drains and commits.
func (m *membership) run(fetchCtx, workCtx context.Context) error {
	fetchCtx, stopFetching := context.WithCancel(fetchCtx)
	defer stopFetching()
	commitCtx, stopCommitting := context.WithCancel(workCtx)
	defer stopCommitting()
	var fetching, committing sync.WaitGroup
	fetching.Go(func() { m.source.run(fetchCtx, workCtx) })
	fetching.Go(func() { m.retries.run(fetchCtx, workCtx) })
	fetching.Go(func() { m.recovery.run(fetchCtx, m.housekeeper.runInterval) })
	committing.Go(func() { m.committer.run(commitCtx, m.source.resumeWithCapacity) })

	var failure error
	select {
	case <-fetchCtx.Done():
	case failure = <-m.failed:
	}
	stopFetching()
	// A fetcher may be blocked in Handle with records that are released only when their assignment
	// ends.
	m.endAll(workCtx)
	fetching.Wait()
	m.endAll(workCtx) // assigned in the meantime
	stopCommitting()
	committing.Wait()
	return failure
}

// endAll ends every assignment.
func (m *membership) endAll(workCtx context.Context) {
	all := m.assignments.listAll()
	numbers := make([]int32, len(all))
	for i, a := range all {
		numbers[i] = a.number
	}
	m.drainer.endAssignments(workCtx, numbers, true)
	if workCtx.Err() == nil {
		m.housekeeper.cleaner.deleteSettled(workCtx, all)
	}
}

// fail ends run with an error that a retry cannot fix.
func (m *membership) fail(err error) {
	select {
	case m.failed <- err:
	default:
	}
}
