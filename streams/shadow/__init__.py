"""Shadow evaluation: run a second version of rules and agents on live traffic; findings go to a separate topic."""
