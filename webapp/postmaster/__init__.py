"""What a host sees of the mail, and does about it: the operator's page, the doctor, the alarms, the mailbox."""
