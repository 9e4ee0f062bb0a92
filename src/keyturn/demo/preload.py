"""The modules that the workers import, loaded once before the workers are forked."""

import aws_lambda_powertools.utilities.parameters
import aws_secretsmanager_caching

import keyturn.demo.worker

__all__ = ["aws_lambda_powertools", "aws_secretsmanager_caching", "keyturn"]
