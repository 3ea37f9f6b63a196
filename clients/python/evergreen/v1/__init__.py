"""Messages and services of the contract, generated from `protos/evergreen/v1`. Never edited by hand."""
