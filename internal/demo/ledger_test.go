package demo

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/sink"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// one is a purchase at offset 5 of partition 0.
var one = produced{origin: sink.Origin{Topic: purchases, Offset: 5, Timestamp: noon}, pipeline: purchases, operation: "crmcom.purchases"}

const (
	oneID     = "purchases-0-5"
	retry     = "sluice.purchases.retry.1s"
	oneOp     = "crmcom.purchases"
	another   = "purchases-0-6"
	settled   = 6 // a commit past the record
	standing5 = 5 // a commit that is not
)

// Each row is one record and where it is found. The rows of a record that is nowhere are what a connector that commits too early leaves behind.
func TestARecordIsCountedWhereItIs(t *testing.T) {
	skip, dead := one, one
	skip.fate, dead.fate = toSkip, toDie
	accepted := func(times int) func(*places) {
		return func(p *places) { p.accepted[item{oneOp, oneID}] = acceptance{times, noon.Add(time.Second)} }
	}
	died := func(copies int) func(*places) { return func(p *places) { p.dead[oneID] = copies } }
	waits := func(committed int64) func(*places) {
		return func(p *places) {
			p.retries[oneID] = []position{{retry, 0, 2}}
			p.commits[retry] = map[int32]int64{0: committed}
		}
	}
	for _, c := range []struct {
		name   string
		record produced
		commit int64
		put    []func(*places)
		want   Figures
		wrong  int
	}{
		{"accepted", one, settled, put(accepted(1)), Figures{Delivered: 1}, 0},
		{"accepted and not committed", one, standing5, put(accepted(1)), Figures{Delivered: 1}, 0},
		{"accepted twice", one, settled, put(accepted(2)), Figures{Delivered: 1, Duplicates: 1}, 0},
		{"accepted under another's name", one, settled, put(func(p *places) { p.accepted[item{oneOp, another}] = acceptance{times: 1} }), Figures{Lost: 1}, 0},
		{"accepted for another operation", one, settled, put(func(p *places) { p.accepted[item{"crmcom.web", oneID}] = acceptance{times: 1} }), Figures{Lost: 1}, 0},
		{"dead", dead, settled, put(died(1)), Figures{Dead: 1}, 0},
		{"dead twice", dead, settled, put(died(2)), Figures{Dead: 1, Duplicates: 1}, 0},
		{"dead without a fault of its own", one, settled, put(died(1)), Figures{Dead: 1}, 1},
		{"delivered though refused", dead, settled, put(accepted(1)), Figures{Delivered: 1}, 1},
		{"delivered and dead", one, settled, put(accepted(1), died(1)), Figures{Delivered: 1, Duplicates: 1}, 1},
		{"in a tier", one, settled, put(waits(2)), Figures{Retrying: 1}, 0},
		{"in a tier that was never committed", one, settled, put(func(p *places) { p.retries[oneID] = []position{{retry, 0, 0}} }), Figures{Retrying: 1}, 0},
		{"gone from a tier", one, settled, put(waits(3)), Figures{Lost: 1}, 0},
		{"delivered from a tier that is not committed", one, settled, put(waits(2), accepted(1)), Figures{Delivered: 1}, 0},
		{"skipped", skip, settled, nil, Figures{Skipped: 1}, 0},
		{"to be skipped and not reached", skip, standing5, nil, Figures{Unsettled: 1}, 0},
		{"to be skipped and delivered", skip, settled, put(accepted(1)), Figures{Delivered: 1}, 1},
		{"not settled", one, standing5, nil, Figures{Unsettled: 1}, 0},
		{"nowhere", one, settled, nil, Figures{Lost: 1}, 0},
		{"nowhere, to be dead", dead, settled, nil, Figures{Lost: 1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlaces()
			p.commits[purchases] = map[int32]int64{0: c.commit}
			for _, put := range c.put {
				put(&p)
			}
			s := addUp([]produced{c.record}, p, map[string][]string{purchases: {oneOp}})
			c.want.Produced = 1
			if c.want.Delivered > 0 {
				c.want.DelayP50, c.want.DelayP99 = 1000, 1000
			}
			for where, b := range map[string]*balance{"pipeline": s.pipelines[purchases], "operation": s.operations[oneOp], "total": &s.total} {
				if got := b.close(); got != c.want || b.wrong != c.wrong {
					t.Errorf("%s: %+v with %d wrong, want %+v with %d", where, got, b.wrong, c.want, c.wrong)
				}
			}
		})
	}
}

func put(each ...func(*places)) []func(*places) { return each }

// A group that has committed nothing has passed nothing.
func TestWithoutACommitNothingIsLost(t *testing.T) {
	s := addUp([]produced{one}, newPlaces(), map[string][]string{purchases: {oneOp}})
	if got := s.total.close(); got.Unsettled != 1 || got.Lost != 0 {
		t.Errorf("%+v, want one record not settled", got)
	}
}

func TestCallsAndDelaysAreTakenOverAllOperationsOfAPipeline(t *testing.T) {
	p := newPlaces()
	p.asked = map[string]requests{"expoints.add": {3, 7}, "expoints.addlock": {5, 5}, "crmcom.web": {9, 9}}
	p.commits[feedback] = map[int32]int64{0: 100}
	var records []produced
	for i := range 100 {
		r := produced{origin: sink.Origin{Topic: feedback, Offset: int64(i), Timestamp: noon}, pipeline: feedback, operation: "expoints.add", vendorID: string(rune('a' + i))}
		p.accepted[item{r.operation, r.vendorID}] = acceptance{1, noon.Add(time.Duration(i+1) * time.Millisecond)}
		records = append(records, r)
	}
	s := addUp(records, p, map[string][]string{feedback: {"expoints.add", "expoints.addlock"}})
	want := Figures{Produced: 100, Delivered: 100, Calls: 8, RecordsPerCall: 1.5, DelayP50: 51, DelayP99: 100}
	if got := s.pipelines[feedback].close(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := s.operations["expoints.addlock"].close(); got != (Figures{Calls: 5, RecordsPerCall: 1}) {
		t.Errorf("an operation without records: %+v", got)
	}
}

func TestAClassCountsWhatWasProducedAndWhatIsDead(t *testing.T) {
	bad := one
	bad.class, bad.fate, bad.operation = classPoison, toDie, ""
	lost := bad
	lost.origin.Offset = 4
	p := newPlaces()
	p.commits[purchases] = map[int32]int64{0: settled}
	p.dead[oneID] = 2
	s := addUp([]produced{bad, lost}, p, map[string][]string{purchases: {oneOp}})
	if got := s.classes[classPoison]; got != (classCount{produced: 2, dead: 1}) {
		t.Errorf("%+v, want 2 produced and 1 dead: a second copy is no second record", got)
	}
}

// What is twice at the vendor has a reason or none, and the vendor knows; twice in a dead-letter topic it never has.
func TestADoubleWithoutAReasonFailsTheRun(t *testing.T) {
	routes := map[string][]string{purchases: {oneOp}}
	dead := one
	dead.fate = toDie
	for name, c := range map[string]struct {
		record  produced
		put     func(*places)
		failure string
	}{
		"accepted twice after a lost answer": {one, func(p *places) { p.accepted[item{oneOp, oneID}] = acceptance{2, noon} }, ""},
		"accepted twice": {one, func(p *places) {
			p.accepted[item{oneOp, oneID}], p.doubled[oneOp] = acceptance{2, noon}, 1
		}, "pipeline purchases: 1 records are double"},
		"dead twice": {dead, func(p *places) { p.dead[oneID] = 2 }, "pipeline purchases: 1 records are double"},
		"another's item at the vendor": {one, func(p *places) {
			p.accepted[item{oneOp, oneID}], p.accepted[item{oneOp, another}] = acceptance{1, noon}, acceptance{1, noon}
		}, "1 items at the vendors or dead letters are of no record"},
		"another's dead letter": {dead, func(p *places) { p.dead[oneID], p.dead[another] = 1, 1 }, "1 items at the vendors or dead letters are of no record"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlaces()
			p.commits[purchases] = map[int32]int64{0: settled}
			c.put(&p)
			got := report(addUp([]produced{c.record}, p, routes), map[string]int{}, script{}, false).Failures
			if len(got) > 1 || !strings.Contains(strings.Join(got, ""), c.failure) || (c.failure == "") != (len(got) == 0) {
				t.Errorf("the failures are %q, want %q", got, c.failure)
			}
		})
	}
}
