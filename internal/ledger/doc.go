// Package ledger is the language between Cobro and its store: the records that
// are kept, the changes that write them, the reservations that are granted, and
// the filters that lists are selected by. Package payment has the domain that a
// merchant sees; what is here is Cobro's own bookkeeping around it.
//
// Values of this package are not safe for concurrent modification.
package ledger
