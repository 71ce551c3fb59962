// Package sim holds the simulation: whole pipelines against an embedded cluster and registry and the vendors' sandbox, in a bubble whose clock is
// fake, with oracles at the borders. It has tests only.
//
// A scenario says which records there are, how the world misbehaves and which members run when. What is judged is always the same: every record that was
// produced has the outcome that its kind must have, in the vendor's books, the dead-letter topic or a rule that skips it, unchanged; no offset was ever
// committed past a record without one; duplicates are those that the promise allows; and each fault of the scenario has struck.
//
// Everything that is random in the world comes from the seed. The connector's own jitter and the order in which goroutines run do not, so that a seed
// is a strong hint and no recording.
//
//	go test -tags synctests ./internal/test/sim -run TestSim/crash -sim.seed=17
//	go test -tags synctests ./internal/test/sim -run TestSim -sim.seeds=500
package sim
