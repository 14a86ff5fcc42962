// A GEMM packet in the form of a CONV packet, so that the engine knows one instruction only.
// Does: map a GEMM to a 1 x 1 convolution over H rows of M pixels; give what CONV's fields cannot hold (batches, wider
// block counts, one record for all) beside it, and the GEMM itself for what CONV does not have (int16 results, their
// residual, rows). A CONV packet passes unchanged.
// Does not: check anything; packets are legal when they get here.
// Latency: combinational.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_normal (
  input  wire [511:0] packet_i,
  output reg  [511:0] conv_o,
  output wire [11:0]  in_blocks_o,
  output wire [11:0]  out_blocks_o,
  output wire [9:0]   batches_o,
  output wire [19:0]  in_batch_stride_o,
  output wire [19:0]  out_batch_stride_o,
  output wire [15:0]  weight_batch_stride_o,
  output wire         one_record_o,           // the first record holds for all channels, or none is used
  output wire [511:0] gemm_o                  // the GEMM; 0 for a CONV
);

  wire gemm = packet_i[`VLA_PACKET_OPCODE] == `VLA_OP_GEMM;

  assign in_blocks_o           = gemm ? packet_i[`VLA_GEMM_K_BLOCKS] : {2'b00, packet_i[`VLA_CONV_IN_BLOCKS]};
  assign out_blocks_o          = gemm ? packet_i[`VLA_GEMM_N_BLOCKS] : {2'b00, packet_i[`VLA_CONV_OUT_BLOCKS]};
  assign batches_o             = gemm ? packet_i[`VLA_GEMM_BATCH] : 10'd1;
  assign in_batch_stride_o     = gemm ? packet_i[`VLA_GEMM_IN_BATCH_STRIDE] : 20'd0;
  assign out_batch_stride_o    = gemm ? packet_i[`VLA_GEMM_OUT_BATCH_STRIDE] : 20'd0;
  assign weight_batch_stride_o = gemm ? packet_i[`VLA_GEMM_WEIGHT_BATCH_STRIDE] : 16'd0;
  assign one_record_o          = gemm && packet_i[`VLA_GEMM_SCALE_BY] != `VLA_GEMM_SCALE_BY_COLUMN;
  assign gemm_o                = gemm ? packet_i : 512'd0;

  always @* begin
    conv_o = packet_i;
    if (gemm) begin
      conv_o = 512'd0;
      conv_o[`VLA_CONV_IN_BASE]        = packet_i[`VLA_GEMM_IN_BASE];
      conv_o[`VLA_CONV_IN_ROW_STRIDE]  = packet_i[`VLA_GEMM_IN_ROW_STRIDE];
      conv_o[`VLA_CONV_IN_PITCH]       = packet_i[`VLA_GEMM_IN_PITCH];
      conv_o[`VLA_CONV_IN_RING]        = packet_i[`VLA_GEMM_H];
      conv_o[`VLA_CONV_IN_H]           = packet_i[`VLA_GEMM_H];
      conv_o[`VLA_CONV_IN_W]           = packet_i[`VLA_GEMM_M];
      conv_o[`VLA_CONV_KERNEL_H]       = 4'd1;
      conv_o[`VLA_CONV_KERNEL_W]       = 4'd1;
      conv_o[`VLA_CONV_STRIDE_H]       = 3'd1;
      conv_o[`VLA_CONV_STRIDE_W]       = 3'd1;
      conv_o[`VLA_CONV_DILATION_H]     = 5'd1;
      conv_o[`VLA_CONV_DILATION_W]     = 5'd1;
      conv_o[`VLA_CONV_OUT_BASE]       = packet_i[`VLA_GEMM_OUT_BASE];
      conv_o[`VLA_CONV_OUT_ROW_STRIDE] = packet_i[`VLA_GEMM_OUT_ROW_STRIDE];
      conv_o[`VLA_CONV_OUT_PITCH]      = packet_i[`VLA_GEMM_OUT_PITCH];
      conv_o[`VLA_CONV_OUT_RING]       = packet_i[`VLA_GEMM_H];
      conv_o[`VLA_CONV_OUT_H]          = packet_i[`VLA_GEMM_H];
      conv_o[`VLA_CONV_OUT_W]          = packet_i[`VLA_GEMM_M];
      conv_o[`VLA_CONV_WEIGHT_BASE]    = packet_i[`VLA_GEMM_WEIGHT_BASE];
      conv_o[`VLA_CONV_PARAM_BASE]     = packet_i[`VLA_GEMM_PARAM_BASE];
      conv_o[`VLA_CONV_RES_BASE]       = packet_i[`VLA_GEMM_RES_BASE];
      conv_o[`VLA_CONV_RES_ROW_STRIDE] = packet_i[`VLA_GEMM_RES_ROW_STRIDE];
      conv_o[`VLA_CONV_RES_PITCH]      = packet_i[`VLA_GEMM_RES_PITCH];
      conv_o[`VLA_CONV_RES_RING]       = packet_i[`VLA_GEMM_H];
      conv_o[`VLA_CONV_ROUNDING]       = packet_i[`VLA_GEMM_ROUNDING];
      conv_o[`VLA_CONV_OUT_ZERO]       = packet_i[`VLA_GEMM_OUT_ZERO];
      conv_o[`VLA_CONV_LO]             = packet_i[`VLA_GEMM_LO];
      conv_o[`VLA_CONV_HI]             = packet_i[`VLA_GEMM_HI];
      conv_o[`VLA_CONV_TABLE_ENABLE]   = packet_i[`VLA_GEMM_TABLE_ENABLE];
      conv_o[`VLA_CONV_TABLE_BASE]     = packet_i[`VLA_GEMM_TABLE_BASE];
      conv_o[`VLA_CONV_MASK_MODE]      = `VLA_CONV_MASK_MODE_DENSE;
    end
  end

endmodule
`default_nettype wire
