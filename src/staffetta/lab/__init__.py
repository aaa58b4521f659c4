"""A whole world on one machine: vendor, appliance, Jump Clients and users, all real programs, judged from outside.

The lab imports none of the programs: it uses their commands, their pages and what they print, as people do.
"""
