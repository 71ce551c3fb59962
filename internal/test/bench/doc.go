// Package bench measures the throughput and CPU time of a pipeline.
//
//   - BenchmarkPipeline runs everything in one process, which makes it easy to profile.
//   - BenchmarkRun runs the built command, with the broker and the fake vendor in the process of
//     the benchmark, so its CPU time is the connector's alone.
//   - BenchmarkBaseline runs a loop that polls, decodes, encodes and posts, and gives no
//     guarantees. Machines differ, so the CPU time of BenchmarkRun is compared with the baseline's.
//
// `make bench` runs all of them.
package bench
