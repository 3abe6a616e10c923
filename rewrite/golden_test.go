package rewrite

import "flag"

// update makes the tests write their golden files instead of comparing.
var update = flag.Bool("update", false, "write the golden files")
