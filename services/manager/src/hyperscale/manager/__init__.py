"""Runs one datacenter: splits jobs over workers, drives their workflows, reports to gates."""
