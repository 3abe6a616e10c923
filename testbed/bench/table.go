//go:build linux

package main

func newRow(j job, name string, results []result) row { return row{} }
type row struct{}
func report(o *options, rows []row) string { return "" }
func replaceTable(file, text string) error { return nil }
func checkFile(file string) error { return nil }
