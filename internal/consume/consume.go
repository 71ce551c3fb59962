// Package consume is the Kafka edge of a pipeline: the group, its partitions, their retry partitions, and the commits.
//
// The unit of ownership is a source partition together with the same partition of each retry topic. An assignment goes through
//
//	assigned (paused) -> taken over (resumed) -> draining -> fenced, committed, forgotten
//
// Taking over means: read the committed offsets and their metadata, the end offsets of the retry partitions, and the records between, so that
// a record that an earlier owner wrote to a retry topic and did not come to commit is not handled twice. Only then is anything delivered.
//
// What a revoked assignment still holds is waited for while calls may run, then the trackers are fenced: whatever settles later is
// never committed, for by then the broker would take a commit from a member that owns the partition no more.
package consume

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/record"
)

// RetryTier is one retry topic. Records in it are due Delay after they were written.
type RetryTier struct {
	Topic string
	Delay time.Duration
}

// StartPosition is where a group that has committed nothing begins.
type StartPosition struct {
	// Latest begins at the end of each partition, At at the first record of that time or later; otherwise at the log's start.
	Latest bool
	At     time.Time
}

// LostOffsetPolicy is what is done when a committed offset is no longer in the log.
type LostOffsetPolicy string

// The policies for a lost offset.
const (
	LostOffsetStop     LostOffsetPolicy = "stop"
	LostOffsetEarliest LostOffsetPolicy = "earliest"
	LostOffsetLatest   LostOffsetPolicy = "latest"
)

// Config is one pipeline's Kafka side. Every field must be set, except where its comment says otherwise.
type Config struct {
	Topic string
	Group string
	// ClientOptions holds what every client of the process shares: seed brokers, TLS, SASL, dialer, logger.
	ClientOptions []kgo.Opt
	// RetryTiers are the retry topics to read, in ascending order of delay, those no longer configured among them.
	RetryTiers   []RetryTier
	Start        StartPosition
	OnOffsetLost LostOffsetPolicy
	// MaxInFlight and MaxInFlightBytes bound the source records that are read and not settled. Retry records have as many of their own.
	MaxInFlight      int
	MaxInFlightBytes int
	// MaxRecordBytes is the largest record that a retry or dead-letter topic takes.
	MaxRecordBytes int
	// CommitInterval slows commits down; 0: as soon as something settles, one commit in flight at a time.
	CommitInterval time.Duration
	// DrainTimeout bounds how long an ending assignment waits for calls in flight.
	DrainTimeout     time.Duration
	RebalanceTimeout time.Duration
	// ConsumerProtocol joins by KIP-848 instead of the classic protocol.
	ConsumerProtocol bool
}

// Handler takes records down the line. Each record that it is given it ends with Done or Drop, or hands to somebody who does.
type Handler interface {
	// Handle may block, on a registry for example, but not longer than the records' assignments stand: after Flush it looks at Draining.
	Handle(ctx context.Context, records []*record.Record)
	// NotifyDraining says that an assignment is ending: whoever holds or waits must look at its records' Draining.
	NotifyDraining()
}

// Group is one pipeline's member of its consumer group. It owns both of the pipeline's Kafka clients.
type Group struct {
	cfg Config
	obs *observe.Pipeline
	log *zap.Logger

	// side reads the retry partitions and writes to the retry and dead-letter topics. It is in no group.
	side  *kgo.Client
	admin *kadm.Client
	// member is the client in the group, set before joined is closed: its callbacks may run before NewClient returns.
	member  *kgo.Client
	joined  chan struct{}
	handler Handler

	sourceCredits *record.Credits
	retryCredits  *record.Credits

	mu       sync.Mutex            // guards assigned and what the assignments in it say of themselves
	assigned map[int32]*assignment // by source partition
	total    int                   // partitions of the source
	faults   map[string]string     // the last fault logged, by place
	held     observe.HoldReason    // the hold that is stated

	arrivals chan struct{} // signals that an assignment waits for its take-over
	changed  chan struct{} // signals that a tracker has something to commit
	urgent   chan struct{} // signals that a call waits for a commit
	turn     chan struct{} // has one place, taken from building a commit to its answer, so that no older one passes a newer one; taken before mu
	commits  notify.Broadcaster
	failed   chan error
}

// NewGroup makes the pipeline's clients. Nothing is dialled and no group is joined before Run.
func NewGroup(cfg Config, obs *observe.Pipeline, log *zap.Logger) (*Group, error) {
	side, err := kgo.NewClient(sideOptions(cfg)...)
	if err != nil {
		return nil, fmt.Errorf("making the retry client: %w", err)
	}
	return &Group{
		cfg: cfg, obs: obs, log: log, side: side, admin: kadm.NewClient(side),
		sourceCredits: record.NewCredits(cfg.MaxInFlight, cfg.MaxInFlightBytes),
		retryCredits:  record.NewCredits(cfg.MaxInFlight, cfg.MaxInFlightBytes),
		assigned:      map[int32]*assignment{},
		faults:        map[string]string{},
		joined:        make(chan struct{}),
		arrivals:      make(chan struct{}, 1),
		changed:       make(chan struct{}, 1),
		urgent:        make(chan struct{}, 1),
		turn:          make(chan struct{}, 1),
		failed:        make(chan error, 1),
	}, nil
}

// Producer is the client that writes to the retry and dead-letter topics. It stays open until Close.
func (g *Group) Producer() *kgo.Client { return g.side }

// Run joins the group and reads until take ends; then it drains what is in flight, commits and leaves. The end of work cuts that short: nothing is
// waited for, and still nothing is committed past what is settled. The error is one that keeps the pipeline from going on.
func (g *Group) Run(take, work context.Context, handler Handler) error {
	g.handler = handler
	if err := g.claimStart(take); err != nil && take.Err() == nil {
		return err
	}
	if take.Err() != nil {
		return nil
	}
	life, kill := context.WithCancel(context.WithoutCancel(work))
	defer kill()
	member, err := kgo.NewClient(append(g.memberOptions(work), kgo.WithContext(life))...)
	if err != nil {
		return fmt.Errorf("making the group's client: %w", err)
	}
	g.member = member
	close(g.joined)
	err = g.run(take, work)
	// The client waits for the answer to a request under way, such as a join. Once work has ended it is given the time for leaving and no more.
	late := context.AfterFunc(work, func() { time.AfterFunc(leaveTimeout, kill) })
	defer late()
	g.member.CloseAllowingRebalance()
	return err
}

func (g *Group) run(take, work context.Context) error {
	reading, stop := context.WithCancel(take)
	defer stop()
	committing, stopCommits := context.WithCancel(work)
	defer stopCommits()
	var readers, committer sync.WaitGroup
	readers.Go(func() { g.pollSource(reading, work) })
	readers.Go(func() { g.pollRetries(reading, work) })
	readers.Go(func() { g.takeOver(reading) })
	committer.Go(func() { g.commitLoop(committing) })

	var failure error
	select {
	case <-take.Done():
	case failure = <-g.failed:
	}
	stop()
	// A reader may be waiting inside Handle with records of an assignment that only ending it lets go.
	g.endAll(work)
	readers.Wait()
	g.endAll(work)
	stopCommits()
	committer.Wait()
	return failure
}

// Close closes the client of the retry and dead-letter topics, after whoever writes through Producer is done.
func (g *Group) Close() { g.side.Close() }

// fail ends Run with an error that no retry can mend.
func (g *Group) fail(err error) {
	select {
	case g.failed <- err:
	default:
	}
}

// ended tells whether an error only says that we are stopping.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed)
}
