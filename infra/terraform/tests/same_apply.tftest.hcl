# terraform test: nothing that is only known after the apply keeps the module from being planned.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
}

run "made_in_the_same_apply" {
  command = plan

  module {
    source = "./tests/same_apply"
  }
}
