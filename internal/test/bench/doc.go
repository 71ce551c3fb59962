// Package bench measures the line: in one process for a profile (BenchmarkLine), and as the built binary beside a broker and a vendor of
// another process, so that the figure of CPU is the connector's alone (BenchmarkRun, by `make bench`). Machines differ, so that figure is held against
// that of a bare loop, which polls, decodes, encodes and posts, and keeps no promise (BenchmarkBare).
package bench
