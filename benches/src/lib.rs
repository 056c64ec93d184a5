//! Workloads and reports shared by the benchmarks.
