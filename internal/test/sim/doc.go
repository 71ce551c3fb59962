// Package sim contains the simulation: complete pipelines running against an embedded cluster and
// registry and the vendors' sandbox, in a synctest bubble with a fake clock. Oracles check
// everything that the connector sends to the brokers and the vendors. It consists of tests only.
//
// A scenario defines the records, the faults of the environment, and the times at which members of
// the group run. The oracles are the same for all scenarios: every produced record has the outcome
// that its kind requires, that is, it is unchanged in the vendor's ledger or in the dead-letter
// topic, or a rule skips it; no offset was ever committed beyond a record without an outcome; there
// are no duplicates except those that the guarantees allow; and every fault of the scenario has
// occurred.
//
// All randomness of the environment is derived from the seed. The connector's own jitter and the
// scheduling of goroutines are not, so a seed usually, but not always, reproduces a failure.
//
//	go test -tags synctests ./internal/test/sim -run TestSim/crash -sim.seed=17
//	go test -tags synctests ./internal/test/sim -run TestSim -sim.seeds=500
package sim
