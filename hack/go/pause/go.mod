// Builds the pause program of the local cluster's pods.
module rustfs.com/dualtrack/hack/pause

go 1.21
